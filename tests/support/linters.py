"""The linters of workflows and actions, for `make check` and for what `expci init` writes.

`python tests/support/linters.py DIR` prints what they find below DIR/.github.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

TOOLS = Path(sys.executable).parent

# `cache-mode` is unknown to GitHub Enterprise Server and to act, and the default for these
# triggers is what the rule asks for: they may not write caches. No job of ours uses one.
# https://github.blog/changelog/2026-06-26-read-only-actions-cache-for-untrusted-triggers/
IGNORED = r"no explicit cache access limit"


def commands(root: Path) -> Iterator[list[str]]:
    """The command lines for the repository `root`; hadolint is made for Linux on x86-64."""
    workflows = sorted(map(str, (root / ".github/workflows").glob("*.yml")))
    actions = sorted(map(str, (root / ".github/actions").glob("*/action.yml")))
    if (container := root / "templates/Containerfile").exists() and Path(tool("hadolint")).exists():
        yield [tool("hadolint"), str(container)]
    yield [tool("zizmor"), "--offline", "--pedantic", "--quiet", str(root / ".github")]
    yield [tool("actionlint"), f"-shellcheck={tool('shellcheck')}", "-ignore", IGNORED, *workflows]
    check = [tool("check-jsonschema"), "--builtin-schema"]
    yield [*check, "vendor.github-workflows", *workflows]
    if actions:
        yield [*check, "vendor.github-actions", *actions]


def tool(name: str) -> str:
    return str(TOOLS / name)


def lint(root: Path) -> str:
    """What the linters say against the repository `root`; "" when all are content."""
    said = []
    for command in commands(root):
        done = subprocess.run(
            command, cwd=root, stdin=subprocess.DEVNULL, capture_output=True, text=True
        )
        if done.returncode != 0:
            said.append(f"{Path(command[0]).name}:\n{done.stdout}{done.stderr}")
    return "\n".join(said)


if __name__ == "__main__":
    found = lint(Path(sys.argv[1]).absolute())
    print(found or "workflows and actions: no findings")
    sys.exit(1 if found else 0)
