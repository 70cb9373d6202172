"""What runs, is hashed, shown and promoted are the same bytes, or it is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from expci import app
from expci.errors import ExpciError
from expci.flows.verbs.start import start
from expci.flows.verbs.validate import validate
from expci.settings import Settings
from support.clones import Clone, make_clone, run_git

HOME = "experiments/faster/treatment"


@pytest.fixture
def clone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Clone:
    monkeypatch.setenv("HOME", str(tmp_path))
    return make_clone(tmp_path)


def problems(clone: Clone) -> str:
    git = clone.git
    result = validate(clone.root, ["faster"], base=git.read_tree("HEAD"), git=git)
    return "\n".join(map(str, result.problems))


def begin(clone: Clone) -> None:
    start(app.open_context(clone.root, Settings(actor="ada")), "faster")


@pytest.mark.parametrize("where", [".gitignore", ".git/info/exclude", f"{HOME}/lib/.gitignore"])
def test_a_file_that_git_ignores_is_named_and_nothing_starts(clone: Clone, where: str) -> None:
    clone.write({where: "conf*\n", f"{HOME}/lib/conf": "X=2\n"})
    run_git(clone.root, "add", "-A")
    run_git(clone.root, "commit", "-qm", "half", "--allow-empty")
    assert "lib/conf' lies here and git ignores it" in problems(clone)
    assert f"git add --force {HOME}/lib/conf" in problems(clone)
    with pytest.raises(ExpciError, match="git ignores it"):
        begin(clone)
    run_git(clone.root, "add", "--force", f"{HOME}/lib/conf")
    run_git(clone.root, "commit", "-qm", "whole")
    assert "ignores" not in problems(clone)
    begin(clone)


@pytest.mark.parametrize("bit", ["--assume-unchanged", "--skip-worktree"])
def test_a_change_that_git_overlooks_is_named_and_nothing_starts(clone: Clone, bit: str) -> None:
    run_git(clone.root, "update-index", bit, f"{HOME}/tool.sh")
    assert "overlooks" not in problems(clone)
    (clone.root / HOME / "tool.sh").write_text("echo another treatment\n")
    assert run_git(clone.root, "status", "--porcelain") == ""
    assert f"{HOME}/tool.sh' lies here changed, and git overlooks it" in problems(clone)
    with pytest.raises(ExpciError, match="git overlooks it"):
        begin(clone)


LITTER = [".DS_Store", "tool.sh~", "Thumbs.db", "__pycache__/a.cpython-311.pyc", ".tool.sh.swp"]
LITTER += ["._tool.sh", "#tool.sh#", ".#tool.sh", "sub/tool.sh.orig", "tool.sh.rej", "desktop.ini"]
LITTER += [".nfs00000000012c0fe400000001", ".fuse_hidden0000000100000002"]


@pytest.mark.parametrize("name", LITTER)
def test_litter_is_named_and_never_started(clone: Clone, name: str) -> None:
    clone.write({f"{HOME}/{name}": "litter\n"})
    assert "leaves behind" in problems(clone)
    clone.commit()
    with pytest.raises(ExpciError, match="leaves behind"):
        begin(clone)


def test_litter_that_git_ignores_is_in_nobody_s_way(clone: Clone) -> None:
    clone.write({".gitignore": "*~\n__pycache__/\n"})
    clone.commit()
    clone.write({f"{HOME}/tool.sh~": "x\n", f"{HOME}/__pycache__/a.pyc": "x\n"})
    begin(clone)


def test_a_file_of_such_a_name_that_the_repository_has_may_vary(clone: Clone) -> None:
    clone.write({"fixtures/patch.orig": "1\n"})
    clone.commit()
    clone.write({f"{HOME}/fixtures/patch.orig": "2\n"})
    clone.commit()
    assert problems(clone) == ""


@pytest.mark.parametrize("name", ["Icon\r", "two\nlines"])  # the first is macOS's own
def test_a_name_with_an_end_of_line_is_refused_and_stops_nothing(clone: Clone, name: str) -> None:
    clone.write({f"{HOME}/{name}": "x\n"})
    assert "holds a control character" in problems(clone)


@pytest.mark.parametrize("attributes", ["", "* text=auto\n"])
@pytest.mark.parametrize("data", [b"echo control\r\n", b"echo control\n"])
def test_a_variant_that_differs_by_line_ends_changes_nothing(
    clone: Clone, attributes: str, data: bytes
) -> None:
    clone.write({".gitattributes": attributes})
    other = data.replace(b"\r\n", b"\n") if b"\r" in data else data.replace(b"\n", b"\r\n")
    (clone.root / "tool.sh").write_bytes(other)
    clone.commit()
    (clone.root / f"{HOME}/tool.sh").write_bytes(data)
    run_git(clone.root, "commit", "-qam", "line ends")
    text = problems(clone)
    assert "line ends only" in text or "is the same as in the repository" in text
    with pytest.raises(ExpciError, match=r"line ends only|the same as"):
        begin(clone)


@pytest.mark.parametrize(
    "attributes",
    ["/tool.sh eol=crlf\n", "/experiments/** -text\n/tool.sh text eol=crlf\n", "/tool.sh ident\n"],
)
def test_attributes_that_give_other_bytes_in_place_are_refused(
    clone: Clone, attributes: str
) -> None:
    clone.write({".gitattributes": attributes, f"{HOME}/tool.sh": "echo $Id$ treatment\n"})
    clone.commit()
    assert "gets other bytes in place" in problems(clone)
    with pytest.raises(ExpciError, match="gets other bytes"):
        begin(clone)
    clone.write({".gitattributes": "tool.sh text eol=crlf\n"})
    assert "gets other bytes" not in problems(clone)


@pytest.mark.parametrize(
    "attributes", ["*.sh text eol=crlf\n", "*.sh working-tree-encoding=UTF-16LE-BOM\n"]
)
def test_a_pilot_runs_the_bytes_that_lie_on_disk(clone: Clone, attributes: str) -> None:
    clone.write({".gitattributes": attributes})
    encoding = "utf-16" if "16" in attributes else "utf-8"
    data = "echo draft\r\n".encode(encoding)
    for path in ("tool.sh", f"{HOME}/tool.sh"):
        (clone.root / path).write_bytes("echo control\r\n".encode(encoding))
    run_git(clone.root, "add", "-A")
    run_git(clone.root, "commit", "-qm", "attributes")
    (clone.root / f"{HOME}/tool.sh").write_bytes(data)
    show = 'test "$EXPCI_ARM" = control || od -An -tx1 tool.sh'
    done = clone.expci("trial", "faster", "--pilot", "--", "sh", "-c", show)
    assert bytes.fromhex(done.stdout.replace("\n", " ")) == data, done.stderr
