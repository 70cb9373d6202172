"""Variables and arguments that lead to the checkout, turned to the arm's work tree.

A trial that followed one would run the user's own checkout under every arm.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Mapping, Sequence
from pathlib import Path

# Where CI systems say that the checkout is.
WORKSPACES = frozenset(
    (
        "GITHUB_WORKSPACE",
        "CI_PROJECT_DIR",  # GitLab
        "WORKSPACE",  # Jenkins
        *("BUILD_SOURCESDIRECTORY", "BUILD_REPOSITORY_LOCALPATH"),  # Azure
        "SYSTEM_DEFAULTWORKINGDIRECTORY",
        # The directory above the checkout: of GitHub's runner, of Azure's agent.
        *("RUNNER_WORKSPACE", "PIPELINE_WORKSPACE", "AGENT_BUILDDIRECTORY"),
        "BUILDKITE_BUILD_CHECKOUT_PATH",
        "CIRCLE_WORKING_DIRECTORY",
        "TRAVIS_BUILD_DIR",
        "BITBUCKET_CLONE_DIR",
        *("DRONE_WORKSPACE", "CI_WORKSPACE"),  # Drone, Woodpecker
        "TEAMCITY_BUILD_CHECKOUTDIR",
        *("APPVEYOR_BUILD_FOLDER", "CODEBUILD_SRC_DIR", "CIRRUS_WORKING_DIR", "CM_BUILD_DIR"),
        *("SEMAPHORE_GIT_DIR", "GO_WORKING_DIR", "bamboo_build_working_directory"),
        *(
            "INIT_CWD",
            "npm_config_local_prefix",
            "PROJECT_CWD",
        ),
    )
)


def turned(environment: Mapping[str, str], checkout: Path, root: Path) -> dict[str, str]:
    """The environment with paths into `checkout` leading to the same place below `root`.

    Workspace variables always; any other, such as PATH or PYTHONPATH, where the arm's work
    tree has such a file. What lies beside the checkout stays.
    """
    if root == checkout:
        return dict(environment)
    places = _places(checkout)
    return {name: _turned(name, value, places, root) for name, value in environment.items()}


def turned_arguments(arguments: Sequence[str], checkout: Path, root: Path) -> tuple[str, ...]:
    """The command with each argument that is a file of `checkout` as the arm's own file."""
    if root == checkout:
        return tuple(arguments)
    places = _places(checkout)
    return tuple(_moved(argument, places, root, must_exist=True) for argument in arguments)


def _places(checkout: Path) -> tuple[str, str]:
    """The checkout as it is named, and where it really is."""
    return str(checkout), os.path.realpath(checkout)


def _turned(name: str, value: str, places: tuple[str, str], root: Path) -> str:
    if name in WORKSPACES:
        return _moved(str(Path(value).expanduser()), places, root, must_exist=False)
    parts = value.split(os.pathsep)
    return os.pathsep.join(_moved(part, places, root, must_exist=True) for part in parts)


def _moved(text: str, places: tuple[str, str], root: Path, *, must_exist: bool) -> str:
    if not text.startswith("/"):
        return text
    real = os.path.realpath(text)
    # As written first: a link of the checkout's own stays one.
    paths = (os.path.normpath(text), real) if must_exist else (real,)
    for path, base in itertools.product(paths, places):
        if f"{path}/".startswith(f"{base}/"):
            target = root / path[len(base) + 1 :]
            if not must_exist or target.exists():
                return str(target)
    if not must_exist and real == os.path.dirname(places[1]):  # noqa: PTH120
        # The checkout is a directory of the workspace; an arm's has the same name.
        _link_siblings(Path(places[1]), root)
        return str(root.parent)
    return text


def _link_siblings(checkout: Path, root: Path) -> None:
    """What lies beside the checkout lies beside the arm's work tree too."""
    for entry in checkout.parent.iterdir():
        link = root.parent / entry.name
        if entry != checkout and not os.path.lexists(link):
            link.symlink_to(entry)
