"""What each arm puts where, and what is refused before anything is put anywhere."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from expci.core.model.content import Blob, File
from expci.core.model.experiment import Arm
from expci.errors import ExpciError, GitError
from expci.store.git.git import Git
from expci.store.variant import arm_changes, varied_content

CONTROL = Arm("control")
PATCH = b"""\
diff --git a/old.sh b/moved.sh
similarity index 100%
rename from old.sh
rename to moved.sh
diff --git a/tool.sh b/tool.sh
--- a/tool.sh
+++ b/tool.sh
@@ -1,2 +1,2 @@
-sleep 0.01
+sleep 0.02
 exit 0
"""


@pytest.fixture
def git(repository: Any) -> Git:
    repository.write("tool.sh", "sleep 0.01\nexit 0\n")
    repository.write("old.sh", "echo old\n", executable=True)
    repository.write("dir/file", "x\n")
    (repository.path / "link").symlink_to("/etc")
    repository.commit()
    return Git(repository.path)


def content(git: Git, blob: Blob | None) -> tuple[str, bytes] | None:
    return None if blob is None else (blob.mode, git.cat([blob.oid])[blob.oid])


def test_every_arm_names_every_path_of_the_union(git: Git) -> None:
    one = Arm("one", files="one/", delete=("dir/file",))
    two = Arm("two", patch="it.patch")
    files = {
        "one/tool.sh": File("100755", b"true\n"),
        "one/new/\xfc.txt": File("100644", b"new\n"),
        "it.patch": File("100644", PATCH),
        "notes.md": File("100644", b"not part of it\n"),
    }
    arms = varied_content(git, files, (CONTROL, one, two), "HEAD")
    read = {arm: {p: content(git, b) for p, b in paths.items()} for arm, paths in arms.items()}
    control = {
        "dir/file": ("100644", b"x\n"),
        "moved.sh": None,
        "new/\xfc.txt": None,
        "old.sh": ("100755", b"echo old\n"),
        "tool.sh": ("100644", b"sleep 0.01\nexit 0\n"),
    }
    assert read["control"] == control
    assert read["one"] == control | {
        "dir/file": None,
        "new/\xfc.txt": ("100644", b"new\n"),
        "tool.sh": ("100755", b"true\n"),
    }
    assert read["two"] == control | {
        "moved.sh": ("100755", b"echo old\n"),
        "old.sh": None,
        "tool.sh": ("100644", b"sleep 0.02\nexit 0\n"),
    }
    # A job builds the same from the published content, wherever its HEAD is.
    assert varied_content(git, files, (CONTROL, one, two), arms["control"]) == arms


def test_the_user_s_index_is_not_touched(git: Git) -> None:
    index = git.git_dir / "index"
    (git.root / "tool.sh").write_text("dirty\n")
    before = (index.read_bytes(), index.stat().st_mtime_ns)
    varied_content(git, {"p": File("100644", PATCH)}, (CONTROL, Arm("two", patch="p")), "HEAD")
    assert (index.read_bytes(), index.stat().st_mtime_ns) == before


@pytest.mark.parametrize(
    "path",
    [
        "link/passwd",
        "link",
        "../outside",
        "a/../../b",
        ".git/config",
        ".GIT/hooks/x",
        "dir/file/x",
        ".github/workflows/ci.yml",
        "a\nb",
        "a\\b",
        "git~1/config",
    ],
)
def test_paths_that_lead_elsewhere_are_refused(git: Git, path: str) -> None:
    arm = Arm("t", files="t/")
    with pytest.raises(ExpciError):
        varied_content(git, {f"t/{path}": File("100644", b"x")}, (CONTROL, arm), "HEAD")
    with pytest.raises(ExpciError):
        varied_content(git, {}, (CONTROL, Arm("t", delete=(path,))), "HEAD")


@pytest.mark.parametrize("mode", ["120000", "160000"])
def test_links_and_submodules_in_an_overlay_are_refused(git: Git, mode: str) -> None:
    with pytest.raises(ExpciError, match="regular file"):
        arm_changes(git, {"t/x": File(mode, b"")}, Arm("t", files="t"), "HEAD")


def test_a_patch_that_makes_a_link_or_leaves_the_repository_is_refused(git: Git) -> None:
    link = (
        b"diff --git a/l b/l\nnew file mode 120000\n--- /dev/null\n+++ b/l\n@@ -0,0 +1 @@\n+/etc\n"
    )
    outside = b"--- a/../x\n+++ b/../x\n@@ -0,0 +1 @@\n+x\n"
    for patch in (link, outside):
        with pytest.raises(ExpciError):
            arm_changes(git, {"p": File("100644", patch)}, Arm("t", patch="p"), "HEAD")


def test_a_patch_that_does_not_apply_says_so(git: Git) -> None:
    patch = PATCH.replace(b"sleep 0.01", b"sleep 9")
    with pytest.raises(GitError, match="does not apply"):
        arm_changes(git, {"p": File("100644", patch)}, Arm("t", patch="p"), "HEAD")
    with pytest.raises(ExpciError, match="no patch file"):
        arm_changes(git, {}, Arm("t", patch="p"), "HEAD")
    with pytest.raises(ExpciError, match="holds no files"):
        arm_changes(git, {}, Arm("t", files="t/"), "HEAD")


def test_a_path_that_the_plan_does_not_name_is_refused(git: Git) -> None:
    files = {"t/tool.sh": File("100644", b"x")}
    with pytest.raises(ExpciError, match="does not name"):
        varied_content(git, files, (CONTROL, Arm("t", files="t/")), {"dir/file": None})


def test_settings_of_the_user_do_not_change_a_patch(git: Git, tmp_path: Path) -> None:
    for key, value in (("apply.whitespace", "error"), ("diff.noprefix", "true")):
        git.run("config", key, value)
    patch = b"--- a/tool.sh\n+++ b/tool.sh\n@@ -1,2 +1,2 @@\n-sleep 0.01\n+sleep 0.02 \t\n exit 0\n"
    paths = arm_changes(git, {"p": File("100644", patch)}, Arm("t", patch="p"), "HEAD")
    assert content(git, paths["tool.sh"]) == ("100644", b"sleep 0.02 \t\nexit 0\n")
