"""`validate` and `start` agree: what the one calls valid, the other freezes."""

from __future__ import annotations

from typing import Any

import pytest

from expci.errors import ExpciError
from expci.flows.setup.doctor import doctor
from expci.flows.verbs.start import start
from expci.flows.verbs.validate import validate
from support.repositories import Repository
from support.stage import Stage

SPEC = """\
version: 1
name: Faster work
hypothesis: The new script cuts the work's duration by 15% within 14 days.
run: cat w.txt
arms:
  control: {{}}
  treatment: {{{change}}}
metrics:
  - {{name: duration_s, role: primary, direction: decrease}}
plan: {{sample_size: 20}}
"""


def propose(repository: Repository, change: str, files: dict[str, bytes]) -> None:
    repository.write("experiments/e/experiment.yml", SPEC.format(change=change))
    for path, data in files.items():
        target = repository.path / "experiments/e" / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_bytes(data)


def patch_of(repository: Repository, data: bytes, *options: str) -> bytes:
    """The patch that makes `data` of w.txt, as the user's git writes it."""
    target = repository.path / "w.txt"
    before = target.read_bytes()
    target.write_bytes(data)
    text = Stage(repository).context.git.run("diff", *options, "--", "w.txt")
    target.write_bytes(before)
    return text


CRLF = b"one\r\ntwo\r\nthree\r\n"
NEW = b"one\r\nTWO\r\nthree\r\n"


@pytest.fixture
def lines(repository: Repository) -> Repository:
    (repository.path / "w.txt").write_bytes(CRLF)
    repository.commit("w")
    repository.push("HEAD:main")
    return repository


@pytest.mark.parametrize(
    "case", ["good", "stripped", "stale", "no_prefix", "no_change", "nonsense", "empty"]
)
@pytest.mark.parametrize("committed", [True, False])
def test_patches(lines: Repository, case: str, committed: bool) -> None:
    patch = patch_of(lines, NEW)
    if case == "stripped":
        patch = patch.replace(b"\r", b"")
    if case == "no_prefix":
        patch = patch_of(lines, NEW, "--no-prefix")
    if case == "no_change":
        patch = patch.replace(b"+TWO", b"+two")
    patch = {"nonsense": b"not a patch\n", "empty": b""}.get(case, patch)
    if case == "stale":
        (lines.path / "w.txt").write_bytes(CRLF.replace(b"two", b"zwei"))
        lines.commit("moved")
    propose(lines, "patch: t.patch", {"t.patch": patch})
    if committed:
        lines.commit("Propose")
    assert agreed(lines, committed) == (case == "good")


@pytest.mark.parametrize(
    ("change", "files", "valid"),
    [
        ("files: treatment/", {"treatment/w.txt": b"x\n"}, True),
        ("files: treatment/", {"treatment/link/deep.txt": b"x\n"}, False),
        ("files: treatment/", {"treatment/w.txt/deep.txt": b"x\n"}, False),
        ("env: {A: b}, promote: ship.patch", {"ship.patch": b"not a patch\n"}, False),
        ("env: {A: b}, promote: ship/", {"ship/link/x": b"x\n"}, False),
        ("delete: [link/x]", {}, False),
    ],
)
def test_what_arms_may_put_where(
    lines: Repository, change: str, files: dict[str, bytes], valid: bool
) -> None:
    (lines.path / "link").symlink_to("/tmp")
    lines.commit("A link")
    propose(lines, change, files)
    lines.commit("Propose")
    assert agreed(lines, committed=True) == valid


def agreed(repository: Repository, committed: bool) -> bool:
    """Whether it is valid, by both; the doctor says the same."""
    context: Any = Stage(repository).context
    result = validate(repository.path, base=context.git.read_tree("HEAD"), git=context.git)
    findings = [finding.level for finding in doctor(lambda: context, repository.path)]
    if not committed:
        return result.is_valid
    assert ("problem" in findings) != result.is_valid
    if result.is_valid:
        start(context, "e")
    else:
        with pytest.raises(ExpciError):
            start(context, "e")
    return result.is_valid
