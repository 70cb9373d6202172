"""Which of the CI's workflows run a file: those whose text names it."""

from __future__ import annotations

import re
from collections.abc import Collection, Iterator, Mapping
from pathlib import PurePosixPath

_ACTION_FILES = ("action.yml", "action.yaml")
_COMMENT = re.compile(r"(?m)(^|\s)#.*$")


def workflows_that_run(paths: Collection[str], workflows: Mapping[str, str]) -> tuple[str, ...]:
    """Return the workflows (path: text) that name one of `paths`, sorted; a comment names nothing.

    An action is named by its directory.

    >>> nightly = "steps:\\n- run: ./ci/build.sh --all\\n- uses: ./.github/actions/pack"
    >>> workflows_that_run(["ci/build.sh"], {"nightly.yml": nightly, "docs.yml": "ci/build.sh.md"})
    ('nightly.yml',)
    >>> workflows_that_run([".github/actions/pack/action.yml"], {"nightly.yml": nightly})
    ('nightly.yml',)
    """
    names = "|".join(re.escape(name) for path in paths for name in _names(path))
    named = re.compile(rf"(?<![\w./-])(?:\./)?(?:{names})(?![\w/-]|\.\w)")
    return tuple(
        sorted(path for path, text in workflows.items() if names and named.search(_without(text)))
    )


def _names(path: str) -> Iterator[str]:
    yield path
    if PurePosixPath(path).name in _ACTION_FILES:
        yield str(PurePosixPath(path).parent)


def _without(text: str) -> str:
    return _COMMENT.sub("", text)
