"""How git is called: its command line, its environment, and its output as text.

Nothing of the user's repository, hooks or configuration changes what a call does. Standard library
only (the trial path).
"""

from __future__ import annotations

import os

TYPE_CHECKING = False
if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

# What a surrounding git process (a hook, `git rebase --exec`) leaves in the environment
# would point our calls at its repository and index.
FOREIGN = frozenset(
    [
        "GIT_ALTERNATE_OBJECT_DIRECTORIES",
        "GIT_ATTR_SOURCE",
        "GIT_COMMON_DIR",
        "GIT_CONFIG",
        "GIT_DEFAULT_HASH",
        "GIT_DEFAULT_REF_FORMAT",
        "GIT_DIFF_OPTS",
        "GIT_DIR",
        "GIT_EXTERNAL_DIFF",
        "GIT_GLOB_PATHSPECS",
        "GIT_GRAFT_FILE",
        "GIT_ICASE_PATHSPECS",
        "GIT_IMPLICIT_WORK_TREE",
        "GIT_INDEX_FILE",
        "GIT_INDEX_VERSION",
        "GIT_LITERAL_PATHSPECS",
        "GIT_NAMESPACE",
        "GIT_NOGLOB_PATHSPECS",
        "GIT_OBJECT_DIRECTORY",
        "GIT_PREFIX",
        "GIT_QUARANTINE_PATH",
        "GIT_REF_PARANOIA",
        "GIT_REPLACE_REF_BASE",
        "GIT_SHALLOW_FILE",
        "GIT_WORK_TREE",
    ]
)
# Nothing of the user's configuration changes what our calls do, only how they reach the
# remote: the address, a proxy, credentials. Hooks and housekeeping do not run, nothing is
# signed, and what git prints is what git prints for everybody.
_CONFIG = (
    "core.hooksPath=/dev/null",
    "core.quotePath=false",
    "core.fsmonitor=false",
    "core.splitIndex=false",
    "core.untrackedCache=false",
    # To delete a ref is to lock `packed-refs`, for which git by itself waits a second.
    "core.packedRefsTimeout=30000",
    "gc.auto=0",
    "maintenance.auto=false",
    "fetch.writeCommitGraph=false",
    "advice.detachedHead=false",
    "color.ui=false",
    "column.ui=never",
    "i18n.commitEncoding=UTF-8",
    "i18n.logOutputEncoding=UTF-8",
    "log.showSignature=false",
    "log.follow=false",
    "log.diffMerges=separate",
    "diff.noprefix=false",
    "diff.mnemonicPrefix=false",
    "diff.orderFile=/dev/null",
    "diff.ignoreSubmodules=none",
    "status.showUntrackedFiles=normal",
    "status.branch=false",
    "submodule.recurse=false",
    "fetch.fsckObjects=false",
    "fetch.prune=false",
    "fetch.pruneTags=false",
    "transfer.fsckObjects=false",
    "push.default=nothing",
    "push.followTags=false",
    "push.gpgSign=false",
    "push.negotiate=false",
    "push.pushOption=",
    "push.recurseSubmodules=no",
    "push.useForceIfIncludes=false",
    "commit.gpgSign=false",
    "tag.gpgSign=false",
    "merge.autoStash=false",
    "merge.directoryRenames=conflict",
    "merge.ff=true",
    "merge.log=false",
    "merge.renames=true",
    "merge.renormalize=false",
    "merge.verifySignatures=false",
    "pull.rebase=false",
    "rebase.autoStash=false",
)


def start_reader(
    root: Path, own: Mapping[str, str], config: Iterable[str] = (), group: int | None = None
) -> subprocess.Popen[bytes]:
    """The process that an `ObjectReader` asks; in a process group of its own where `group` is 0."""
    import subprocess

    return subprocess.Popen(
        git_command(("cat-file", "--batch-command"), config),
        cwd=root,
        env=git_environment(own),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        process_group=group,
    )


def git_environment(extra: Mapping[str, str]) -> dict[str, str]:
    env = {key: value for key, value in os.environ.items() if key not in FOREIGN}
    env |= {"LC_ALL": "C", "GIT_TERMINAL_PROMPT": "0", "GIT_OPTIONAL_LOCKS": "0"}
    # What people replaced in their clone is not what others have (git-replace(1)).
    env |= {"GIT_NO_REPLACE_OBJECTS": "1"}
    return env | dict(extra)


def git_command(arguments: Sequence[str], config: Iterable[str]) -> list[str]:
    options = [part for setting in (*_CONFIG, *config) for part in ("-c", setting)]
    return ["git", *options, *arguments]


def verb_of(arguments: Sequence[str]) -> str:
    return next((word for word in arguments if not word.startswith("-")), "")


def output_text(output: bytes) -> str:
    """Every byte that git printed; one that is not UTF-8 goes back to git as it came."""
    return output.decode(errors="surrogateescape").strip()


def output_line(output: bytes) -> str:
    """One line without its end: a path may begin or end with a space, or hold a newline."""
    return output.decode(errors="surrogateescape").removesuffix("\n")
