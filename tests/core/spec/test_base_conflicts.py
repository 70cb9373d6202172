"""What is wrong with variants against the tree that they change, each at its arm."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import pytest

from expci.core.model.content import SPEC_NAME, Blob, File
from expci.core.spec.base_conflicts import base_problems, is_litter, lost_executables
from expci.core.spec.parse import read_experiment
from expci.core.spec.repository_defaults import Defaults
from support.spec_samples import MINIMAL, REPLACED, experiment, file

# `echo 'test content' | git hash-object --stdin`, as in Pro Git (Chacon and Straub), 10.2
TEXT, OID = b"test content\n", "d670460b4b4aece5915caf5c68d12f560a9fe3e4"
OTHER = "f" * 40
SPEC = """\
version: 1
hypothesis: It gets 15% faster within 14 days.
run: ./build.sh
arms:
  control: {{}}
  treatment: {{{arm}}}
metrics:
  - {{name: duration_s, role: primary, minimum_effect: 15%}}
"""


def problems(
    base: Mapping[str, Blob | None], files: Mapping[str, File], arm: str = "files: treatment/"
) -> list[tuple[str, str, int | None]]:
    """(path in the spec, message, line) of each problem."""
    spec = SPEC.format(arm=arm)
    tree = {SPEC_NAME: File("100644", spec.encode())}
    tree |= {f"treatment/{path}": file for path, file in files.items()}
    experiment = read_experiment("faster", spec, tree, Defaults()).experiment
    assert experiment is not None
    return [(p.path, p.message, p.line) for p in base_problems(experiment, tree, base)]


def blob(oid: str = OTHER, mode: str = "100644") -> Blob:
    return Blob(mode, oid)


def test_a_variant_that_changes_something_has_no_problem() -> None:
    base = {"build.sh": blob(), "src/a.py": blob()}
    assert problems(base, {"build.sh": File("100644", TEXT)}) == []
    assert problems(base, {"src/new.py": File("100644", TEXT)}) == []
    assert problems({"build.sh": blob(OID, "100755")}, {"build.sh": File("100644", TEXT)}) == []


def test_one_that_is_as_the_repository_has_it_changes_nothing() -> None:
    [(path, message, line)] = problems({"build.sh": blob(OID)}, {"build.sh": File("100644", TEXT)})
    assert (path, line) == ("arms.treatment.files", 6)
    assert message == "'build.sh' is the same as in the repository: changes nothing"


def test_nor_does_one_with_other_line_ends() -> None:
    windows = File("100644", TEXT.replace(b"\n", b"\r\n"))
    [(_, message, _)] = problems({"build.sh": blob(OID)}, {"build.sh": windows})
    assert message == "'build.sh' differs from the repository's by its line ends only"


@pytest.mark.parametrize(
    ("base", "path", "message"),
    [
        ({"link": blob(mode="120000")}, "link", "'link' is a symlink in the repository"),
        ({"sub": blob(mode="160000")}, "sub/a", "'sub/a' passes through 'sub', a submodule"),
        ({"link": blob(mode="120000")}, "link/a", "'link/a' passes through 'link', a symlink"),
        ({"tool": blob()}, "tool/a", "'tool/a' passes through 'tool', a file, not a directory,"),
        ({"src/a.py": blob()}, "src", "'src' is a directory in the repository"),
        ({"src/a.py": blob()}, "Src/b.py", "'Src' differs from 'src' only by case"),
        ({"gr\u00f6\u00dfe": blob()}, "gro\u0308\u00dfe", "only by case or Unicode form"),
        ({}, "a.orig", "is a file that an editor, a system or Python leaves behind"),
        ({}, "x/__pycache__/a.txt", "is a file that an editor, a system or Python leaves behind"),
    ],
)
def test_paths_that_the_repository_has_no_place_for(
    base: dict[str, Blob], path: str, message: str
) -> None:
    messages = [text for _, text, _ in problems(base, {path: File("100644", TEXT)})]
    assert any(message in text for text in messages), messages


@pytest.mark.parametrize(
    ("deleted", "message"),
    [("gone.txt", "there is no 'gone.txt' to delete"), ("src", "'src' is a directory")],
)
def test_what_cannot_be_deleted(deleted: str, message: str) -> None:
    [(path, text, line)] = problems({"src/a.py": blob()}, {}, f"delete: [{deleted}]")
    assert (path, text, line) == ("arms.treatment.delete[0]", message, 6)


def test_a_file_may_take_the_place_of_a_directory_whose_files_are_deleted() -> None:
    base = {"src/a.py": blob(), "src/b.py": blob()}
    files = {"src": File("100644", TEXT)}
    arm = "files: treatment/, delete: [src/a.py, src/b.py]"
    assert problems(base, files, arm) == []
    assert problems(base, files, "files: treatment/, delete: [src/a.py]") != []


@pytest.mark.parametrize(
    ("path", "litter"),
    [
        *[(name, True) for name in (".DS_Store", "a/._b", "thumbs.DB", "a.py~", ".#a", "#a#")],
        *[(name, True) for name in (".a.swp", "a.rej", "a.pyc", "a.bak", "__pycache__/a")],
        *[(name, False) for name in ("a.py", "DS_Store", "swp", "a#b", "backup", "pycache/a")],
    ],
)
def test_what_tools_leave_behind_is_known_by_its_name(path: str, litter: bool) -> None:
    assert is_litter(path) is litter


def test_a_lost_executable_bit_is_said() -> None:
    spec = SPEC.format(arm="files: treatment/")
    tree = {SPEC_NAME: File("100644", spec.encode()), "treatment/a.sh": File("100644", TEXT)}
    experiment = read_experiment("faster", spec, tree, Defaults()).experiment
    assert experiment is not None
    [advice] = lost_executables(experiment, tree, {"a.sh": blob(mode="100755")})
    assert "'a.sh' is executable in the repository and its variant is not" in advice
    assert lost_executables(experiment, tree, {"a.sh": blob()}) == ()
    assert lost_executables(experiment, tree, {}) == ()


def oid(data: bytes) -> str:
    return hashlib.sha1(b"blob %d\0" % len(data) + data, usedforsecurity=False).hexdigest()


def test_git_names_a_blob_as_we_do() -> None:
    # `printf 'hello\\n' | git hash-object --stdin`, from the Git book, chapter 10.2 (test content)
    assert oid(b"test content\n") == "d670460b4b4aece5915caf5c68d12f560a9fe3e4"


@pytest.mark.parametrize(
    ("base", "change", "words"),
    [
        (
            {"build.sh": Blob("100644", oid(REPLACED))},
            "files: treatment/",
            "same as in the repository",
        ),
        ({"build.sh": Blob("120000", oid(b"x"))}, "files: treatment/", "is a symlink"),
        ({"build.sh": Blob("160000", oid(b"x"))}, "files: treatment/", "is a submodule"),
        ({"build.sh/x": Blob("100644", oid(b"x"))}, "files: treatment/", "is a directory"),
        ({"Build.sh": Blob("100644", oid(b"x"))}, "files: treatment/", "only by case"),
        ({"a": Blob("120000", oid(b"/etc"))}, "delete: [a/b]", "passes through 'a', a symlink"),
        ({"a": Blob("160000", oid(b"x"))}, "delete: [a/b]", "passes through 'a', a submodule"),
        ({"a": Blob("100644", oid(b"x"))}, "delete: [b]", "there is no 'b' to delete"),
        ({"a/b": Blob("100644", oid(b"x"))}, "delete: [a]", "is a directory"),
    ],
)
def test_what_only_the_base_shows(base: dict[str, Blob], change: str, words: str) -> None:
    text = MINIMAL.replace("files: treatment/", change)
    made = experiment(text)
    tree = {SPEC_NAME: file(text.encode()), "treatment/build.sh": file()}
    problems = base_problems(made, tree, base)
    assert any(problem.line == 6 and words in problem.message for problem in problems), problems


def test_a_changed_file_and_a_changed_mode_are_fine() -> None:
    made = experiment(MINIMAL)
    tree = {SPEC_NAME: file(MINIMAL.encode()), "treatment/build.sh": file()}
    other = {"build.sh": Blob("100644", oid(b"other"))}
    executable = {"build.sh": Blob("100755", oid(REPLACED))}
    assert base_problems(made, tree, other) == ()
    assert base_problems(made, tree, executable) == ()
    assert base_problems(made, tree, {"build.sh": None}) == ()
