"""Paths that a variant may touch, and those that a patch names."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.content import SPEC_NAME, File
from expci.core.spec.parse import read_experiment
from expci.core.spec.repository_defaults import Defaults
from expci.core.spec.variant_paths import patch_modes, patch_paths, path_refusal, varied_paths
from support.properties import examples
from support.spec_samples import MINIMAL, file, problems_of, read


@pytest.mark.parametrize(
    ("name", "item", "words"),
    [
        ("treatment/link", file(b"/etc/passwd", "120000"), "is a symlink"),
        ("treatment/module", file(b"", "160000"), "is a submodule"),
        ("treatment/.git/config", file(), "under .git"),
        ("treatment/a/.Git/x", file(), "under .git"),
        ("treatment/.g\u200cit/x", file(), "control character"),
        ("treatment/git~1/x", file(), "under .git"),
        ("treatment/.github/workflows/ci.yml", file(), "is a workflow"),
        ("treatment/.GitHub/Workflows/ci.yml", file(), "is a workflow"),
        ("treatment/Build.SH", file(), "only by case"),
        ("treatment/a\\b", file(), "backslash"),
        ("treatment/a\nb", file(), "control character"),
        ("treatment/C:x", file(), "absolute"),
        ("treatment/experiments/faster/experiment.yml", file(), "belongs to this experiment"),
    ],
)
def test_files_that_an_overlay_must_not_hold(name: str, item: File, words: str) -> None:
    problems = problems_of(read(MINIMAL, files={name: item}))
    assert any(line == 6 and words in message for line, _, message in problems), problems


def test_a_linked_variant_directory_is_refused() -> None:
    tree = {SPEC_NAME: file(), "treatment": file(b"../../secrets", "120000")}
    reading = read_experiment("faster", MINIMAL, tree, Defaults())
    assert any("is a symlink" in problem.message for problem in reading.problems)


def test_variants_over_25_megabytes_are_refused() -> None:
    problems = problems_of(read(MINIMAL, files={"treatment/big": file(b"x" * 25_000_001)}))
    assert ["more than 25 MB" in message for _, _, message in problems] == [True]


# written by `git diff` (git 2.39): a change whose content looks like headers, a rename with
# a quoted name, a new empty file, a mode, a binary file
PATCH = b"""\
diff --git a/src/a.py b/src/a.py
index 1111111..2222222 100644
--- a/src/a.py
+++ b/src/a.py
@@ -1,3 +1,3 @@
 one
--- a/not/a/header
+++ b/not/a/header
 three
diff --git "a/caf\\303\\251.txt" b/new name.txt
similarity index 100%
rename from "caf\\303\\251.txt"
rename to new name.txt
diff --git a/empty file b/empty file
new file mode 100644
index 0000000..e69de29
diff --git a/run.sh b/run.sh
old mode 100644
new mode 100755
diff --git a/logo.png b/logo.png
index 3333333..4444444 100644
GIT binary patch
delta 6
zcmZo<

diff --git a/gone b/gone
deleted file mode 100644
index 5555555..0000000
--- a/gone
+++ /dev/null
@@ -1 +0,0 @@
-x
"""


def test_the_paths_of_a_patch() -> None:
    assert patch_paths(PATCH) == (
        "café.txt", "empty file", "gone", "logo.png", "new name.txt", "run.sh", "src/a.py",
    )  # fmt: skip
    assert patch_modes(PATCH) == {"100644", "100755"}


PATCHED = MINIMAL.replace("files: treatment/", "patch: t.patch")


@pytest.mark.parametrize(
    ("patch", "words"),
    [
        (b"nothing\n", "no patch of any file"),
        (PATCH.replace(b"src/a.py", b"../a.py"), "leaves the repository"),
        (PATCH.replace(b"/src/a.py", b"//etc/a.py"), "absolute"),
        (PATCH.replace(b"src/a.py", b".git/config"), "under .git"),
        (PATCH.replace(b"src/a.py", b".github/workflows/a.yml"), "is a workflow"),
        (PATCH.replace(b"new file mode 100644", b"new file mode 120000"), "a symlink"),
        (PATCH.replace(b"2222222 100644", b"2222222 160000"), "a submodule"),
        (PATCH.replace(b"gone", b"SRC/b"), "only by case"),
    ],
)
def test_refused_patches(patch: bytes, words: str) -> None:
    problems = problems_of(read(PATCHED, files={"t.patch": file(patch)}))
    assert any(line == 6 and words in message for line, _, message in problems), problems


def test_a_good_patch_and_what_it_varies() -> None:
    reading = read(PATCHED, files={"t.patch": file(PATCH)})
    assert reading.experiment is not None
    assert varied_paths(reading.experiment, {"t.patch": file(PATCH)})["treatment"] == patch_paths(
        PATCH
    )


@examples(300)
@given(st.text(alphabet="./ab\\.gitGIT~1:\u200c\u0301é\x00 ", min_size=0, max_size=20))
def test_an_allowed_path_stays_inside(path: str) -> None:
    if path_refusal(path) is None:
        assert Path("/r", path).resolve().is_relative_to("/r")
        assert path == str(Path(path))
        assert not {".git", "git~1"} & {part.lower().rstrip(". ") for part in path.split("/")}
