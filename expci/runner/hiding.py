"""Hide an arm's files from `git add` and `git status` of the job that has them in place.

git asks a file-system monitor which files may differ from the index (githooks(5),
"fsmonitor-watchman"). The monitor of this module answers "all but the arm's". Every other
job, and every command that puts the arm's files back (`reset --hard`, `checkout`, `switch`, …),
gets the plain answer "all". So nothing hidden outlives a job that was killed: an ordinary checkout
restores the commit's own files, which a skip-worktree bit would prevent.

Files that the commit does not have are hidden by `info/exclude`. The monitor takes them out of it
when the git of another job asks, so that `git status` shows and `git clean` removes them.

A job is known by its CI's variables. Where there are none, it lasts as long as the process that
called expci: a shell, or the script of a step.
"""

from __future__ import annotations

import os
import shlex
import subprocess
from collections.abc import Iterable, Sequence
from pathlib import Path

from expci.runner.ci.context import JOB_VARIABLES
from expci.store.git import durable
from expci.store.git.git import Git

# When a process started, as far as the system tells: its number alone may be another's by now.
_BORN = """\
born() {
  sed 's/.*) //' "/proc/$1/stat" 2>/dev/null | cut -d' ' -f20 | grep . || ps -o lstart= -p "$1"
}
"""
_MONITOR = """\
#!/bin/sh
# Written by expci: until `expci record`, this job's `git add` leaves the arm's files alone.
printf 'expci\\000'
all() {{ printf '/\\000'; exit 0; }}
ended() {{
  exclude={exclude} scratch={scratch}
  if grep -q '^# expci live-' "$exclude" 2>/dev/null; then
    sed '/^# expci live-/,/^# expci live-.* ends$/d' "$exclude" >"$scratch" &&
      cat "$scratch" >"$exclude"
    rm -f "$scratch"
  fi
  all
}}
if [ "$(pwd -P)" != {root} ]; then
  # By another path, as a container has it, it is the same checkout; a copy is no job's.
  set -- $(ls -di "${{0%/expci/fsmonitor}}")
  [ "$1" = {inode} ] && all
  ended
fi
{same_job} || ended
words() {{
  tr '\\000' '\\n' <"/proc/$1/cmdline" 2>/dev/null || ps -o args= -p "$1" | tr ' ' '\\n'
}}
pid=$PPID
case $(words "$pid" | head -n 1) in
  *git | *git-*) ;;
  *) pid=$(ps -o ppid= -p "$pid" | tr -d ' ') ;; # a shell between git and this file
esac
call=$(words "$pid" | sed 1d | while IFS= read -r word; do
  case $skip$word in
    skip*) skip= ;;
    -c | -C | --git-dir | --work-tree | --namespace) skip=skip ;;
    -*) ;;
    *) printf '%s\\n' "$word"; cat ;;
  esac
done)
rest() {{ printf '%s\\n' "$call" | sed 1d; }}
given() {{ rest | grep -qxE -e "$1"; }}
listed() {{ git -c core.fsmonitor=false ls-files -- "$@"; }}
# Whether the command names files, and none of the arm's.
elsewhere() {{
  paths=$(rest | sed -n '/^--$/,$p' | sed 1d)
  [ -n "$paths" ] || paths=$(rest | grep -v '^-') || return 1
  printf '%s\\n' "$paths" | while IFS= read -r path; do
    files=$(listed "${{GIT_PREFIX-}}$path")
    [ -n "$files" ] && [ "$files" = "$(listed "${{GIT_PREFIX-}}$path" {pathspecs})" ] || exit 1
  done
}}
case $(printf '%s\\n' "$call" | head -n 1) in
  add | stage | commit | status | diff | diff-files | diff-index | rm | mv | apply | am | \\
    update-index | write-tree | describe | pull | merge | rebase | cherry-pick | revert) ;;
  reset) given '--(hard|merge|keep)' && all ;;
  restore) {{ given '--staged|-S' && ! given '--worktree|-W|-SW|-WS'; }} || elsewhere || all ;;
  checkout) elsewhere || all ;;
  *) all ;;
esac
exec git -c core.fsmonitor=false ls-files -z -- . {pathspecs}
"""


def hide_tracked(git: Git, paths: Sequence[str], job: Sequence[str]) -> None:
    """Have this job's git overlook changes of `paths`, and of no others.

    `job` is its `context.job_identity`.
    """
    monitor, command = _monitor(git), _command(git)
    before = _setting(git)
    if before and before not in _ours(git):
        durable.replace_file(_former(git), before.encode(errors="surrogateescape"))
    durable.replace_file(monitor, _script(git, paths, job).encode(errors="surrogateescape"))
    monitor.chmod(0o755)
    git.run("config", "--local", "core.fsmonitor", command)
    data = "".join(path + "\0" for path in paths).encode(errors="surrogateescape")
    git.run(
        *("update-index", "--fsmonitor-valid", "-z", "--stdin"),
        stdin=data,
        config=(f"core.fsmonitor={command}",),
    )


def show_tracked(git: Git) -> None:
    """End what `hide_tracked` began, once no experiment of this job hides anything."""
    monitor = _monitor(git)
    if _set_as_before(git):
        git.attempt("update-index", "--no-fsmonitor")
    monitor.unlink(missing_ok=True)
    _former(git).unlink(missing_ok=True)


def _set_as_before(git: Git) -> bool:
    """Give `core.fsmonitor` its former value where it is ours; whether it was."""
    former, setting = _former(git), _setting(git)
    if setting not in _ours(git):
        return False
    if former.exists():
        git.run("config", "--local", "core.fsmonitor", former.read_text())
        return True
    unset = ("config", "--local", "--fixed-value", "--unset", "core.fsmonitor", setting)
    return git.attempt(*unset).returncode == 0


def bits(git: Git, paths: Sequence[str] = ()) -> list[str]:
    """Those of the tracked `paths` (none: all) that have the skip-worktree bit."""
    output = git.run("--literal-pathspecs", "ls-files", "-t", "-z", "--", *paths, cwd=git.root)
    rows = output.decode(errors="surrogateescape").split("\0")
    return [row[2:] for row in rows if row.startswith("S ")]


def clear_bits(git: Git, paths: Sequence[str]) -> None:
    """Take the skip-worktree bits back that an older version set at `paths`."""
    marked = bits(git, paths) if paths else []
    if marked:
        data = "".join(path + "\0" for path in marked).encode(errors="surrogateescape")
        git.run("update-index", "--no-skip-worktree", "-z", "--stdin", stdin=data)


def _setting(git: Git) -> str:
    result = git.attempt("config", "--local", "--get", "core.fsmonitor")
    return result.stdout.decode(errors="surrogateescape").strip()


def _script(git: Git, paths: Iterable[str], job: Sequence[str]) -> str:
    exclude = _as_seen_by_git(git, _exclude_file(git))
    return _MONITOR.format(
        root=shlex.quote(str(git.root.resolve())),
        inode=git.git_dir.stat().st_ino,
        same_job=_same_job(job),
        exclude=shlex.quote(exclude),
        scratch=shlex.quote(_as_seen_by_git(git, _monitor(git))) + '".$$"',
        pathspecs=" ".join(shlex.quote(f":(exclude,top,literal){path}") for path in paths),
    )


def _same_job(job: Sequence[str]) -> str:
    """The shell's test of whether the job that asks is `job`."""
    if any(job):
        asks = "/".join(f"${{{name}-}}" for name in JOB_VARIABLES)
        return f'[ "{asks}" = {shlex.quote("/".join(job))} ]'
    caller = str(os.getppid())
    command = ["/bin/sh", "-c", f'{_BORN}born "$1"', "sh", caller]
    result = subprocess.run(command, capture_output=True, check=False)
    birth = result.stdout.decode(errors="replace").strip() or "unknown"
    return f'{_BORN}[ "$(born {caller})" = {shlex.quote(birth)} ]'


def _command(git: Git) -> str:
    """What git hands to a shell, in the work tree's root.

    Where the monitor is not, as in a copy of the checkout or a container, every file may differ.
    """
    monitor = shlex.quote(_as_seen_by_git(git, _monitor(git)))
    return f"{{ test -x {monitor} || {{ printf 'expci\\000/\\000'; exit; }}; }}; {monitor}"


def _ours(git: Git) -> tuple[str, str]:
    """The values of `core.fsmonitor` that this module sets, and that an earlier version set."""
    return _command(git), shlex.quote(str(_monitor(git)))


def _as_seen_by_git(git: Git, path: Path) -> str:
    """A path of the git directory from the root, so that it holds wherever the checkout lies."""
    inside = git.git_dir == git.root / ".git" and path.is_relative_to(git.git_dir)
    return str(path.relative_to(git.root) if inside else path)


def _monitor(git: Git) -> Path:
    return git.git_dir / "expci" / "fsmonitor"


def _former(git: Git) -> Path:
    return git.git_dir / "expci" / "fsmonitor.former"


def exclude(git: Git, name: str, paths: Iterable[str]) -> str:
    """Add untracked `paths` to `info/exclude`; the text that was added, "" for none."""
    lines = ["/" + _escaped(path) for path in paths]
    if not lines:
        return ""
    file = _exclude_file(git)
    file.parent.mkdir(exist_ok=True)
    before = file.read_bytes() if file.exists() else b""
    start = "\n" if before and not before.endswith(b"\n") else ""
    added = start + "\n".join([f"# expci {name}", *lines, f"# expci {name} ends"]) + "\n"
    with file.open("ab") as stream:
        stream.write(added.encode(errors="surrogateescape"))
    return added


def include(git: Git, added: str) -> None:
    """Take the text of `exclude` out again."""
    file = _exclude_file(git)
    if added and file.exists():
        rest = file.read_bytes().replace(added.encode(errors="surrogateescape"), b"", 1)
        if rest:
            file.write_bytes(rest)
        else:
            file.unlink()  # as good as an empty one, and there may have been none


def _exclude_file(git: Git) -> Path:
    return git.common_dir / "info" / "exclude"


def _escaped(path: str) -> str:
    """A path as a gitignore pattern that matches nothing else (gitignore(5))."""
    special = "".join("\\" + char if char in "\\*?[" else char for char in path)
    bare = special.rstrip(" ")
    return bare + "\\ " * (len(special) - len(bare))
