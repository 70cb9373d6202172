"""The package as users get it: contents, metadata, its commit, and the pre-commit hook."""

from __future__ import annotations

import ast
import email
import json
import re
import shutil
import subprocess
import sys
import zipfile
from email.message import Message
from pathlib import Path

import pytest
import yaml
from readme_renderer import markdown

from expci.core.model.limits import HOME as OWNER
from support.repositories import Repository, git

ROOT = Path(__file__).parents[1]
TOOLS = Path(sys.executable).parent
HOOKS = yaml.safe_load((ROOT / ".pre-commit-hooks.yaml").read_text())
SPEC = """\
version: 1
name: Faster build
hypothesis: The new script cuts the build's duration by 15% within 14 days.
run: ./build.sh
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}
"""


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A clean commit of this tree, tagged as a release."""
    root = tmp_path_factory.mktemp("source") / "expci"
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for name in filter(None, listed.stdout.split("\0")):
        if (ROOT / name).is_file() and not name.startswith("tests/"):
            (root / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, root / name)
    git(root.parent, "init", "-q", str(root))
    git(root, "add", "-A")
    git(root, "commit", "-q", "-m", "v0.1.0")
    git(root, "tag", "v0.1.0")
    return root


def build(source: Path, target: str, to: Path) -> Path:
    """The wheel or sdist that hatchling makes of `source`."""
    command = [sys.executable, "-m", "hatchling", "build", "-t", target, "-d", str(to)]
    subprocess.run(command, cwd=source, capture_output=True, text=True, check=True)
    [made] = to.iterdir()
    return made


@pytest.fixture(scope="module")
def wheel(source: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return build(source, "wheel", tmp_path_factory.mktemp("dist"))


@pytest.fixture(scope="module")
def metadata(wheel: Path) -> Message:
    with zipfile.ZipFile(wheel) as archive:
        [name] = (name for name in archive.namelist() if name.endswith(".dist-info/METADATA"))
        return email.message_from_bytes(archive.read(name))


def test_the_wheel_holds_the_package_and_nothing_else(source: Path, wheel: Path) -> None:
    tree = {str(path.relative_to(source)) for path in (source / "expci").rglob("*")}
    files = {path for path in tree if (source / path).is_file() and "__pycache__" not in path}
    with zipfile.ZipFile(wheel) as archive:
        names = {name for name in archive.namelist() if ".dist-info/" not in name}
    assert names == files | {"expci/build.json"}
    assert "expci/py.typed" in names


def test_the_long_description_renders_and_its_links_leave_the_page(metadata: Message) -> None:
    text = metadata.get_payload()
    assert isinstance(text, str)
    assert markdown.render(text) is not None  # what `twine check` asks
    assert metadata["Description-Content-Type"] == "text/markdown"
    targets = re.findall(r"\]\(([^)]+)\)", text) + re.findall(r'src="([^"]+)"', text)
    assert [target for target in targets if not target.startswith(("https://", "#"))] == []
    for target in targets:
        if match := re.search(r"/(?:blob/)?v0\.1\.0/([^#]+)", target):
            assert (ROOT / match[1]).exists(), target


def test_the_metadata_say_where_things_are(metadata: Message) -> None:
    urls = dict(url.split(", ") for url in metadata.get_all("Project-URL", []))
    assert urls.keys() >= {"Homepage", "Documentation", "Changelog", "Issues", "Source"}
    assert "Typing :: Typed" in metadata.get_all("Classifier", [])


def installed(wheel: Path, site: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(site)
    return site


def run_from(site: Path, cwd: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`expci ARGUMENTS` of the package that was unpacked to `site`."""
    start = f"import sys; sys.path.insert(0, {str(site)!r}); from expci.cli import main; main()"
    command = [sys.executable, "-P", "-c", start, *arguments]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True)


def test_init_from_a_wheel_pins_the_commit_that_it_was_built_from(
    source: Path, wheel: Path, repository: Repository, tmp_path: Path
) -> None:
    done = run_from(installed(wheel, tmp_path / "site"), repository.path, "init")
    assert done.returncode == 0, done.stderr
    commit = git(source, "rev-parse", "HEAD")
    text = (repository.path / ".github/workflows/expci-pass.yml").read_text()
    assert f"/.github/actions/pass@{commit} # v0.1.0\n" in text
    assert done.stderr.startswith("warning: whether expci/expci has the commit"), done.stderr


def test_a_wheel_made_of_the_source_archive_knows_the_same(
    source: Path, wheel: Path, tmp_path: Path
) -> None:
    archive = build(source, "sdist", tmp_path / "sdist")
    shutil.unpack_archive(archive, tmp_path / "unpacked")
    [root] = (tmp_path / "unpacked").iterdir()
    again = build(root, "wheel", tmp_path / "wheel")
    assert built_from(again) == built_from(wheel)


def built_from(wheel: Path) -> object:
    with zipfile.ZipFile(wheel) as archive:
        return json.loads(archive.read("expci/build.json"))


def test_a_tree_with_changes_is_no_commit(source: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    shutil.copytree(source, copy, symlinks=True)
    (copy / "expci/new.py").write_text("")
    with zipfile.ZipFile(build(copy, "wheel", tmp_path / "dist")) as archive:
        assert "expci/build.json" not in archive.namelist()


# --- pre-commit ------------------------------------------------------------------------------


def pre_commit(repository: Repository, *arguments: str) -> subprocess.CompletedProcess[str]:
    """`pre-commit ARGUMENTS`, with a remote that nothing can reach."""
    repository.git("remote", "set-url", "origin", "https://no.such.host.invalid/x.git")
    return subprocess.run(
        [str(TOOLS / "pre-commit"), *arguments],
        cwd=repository.path,
        env={"PATH": f"{TOOLS}:/usr/bin:/bin", "HOME": str(repository.path.parent)},
        capture_output=True,
        text=True,
    )


@pytest.fixture
def with_hook(repository: Repository) -> Repository:
    """A repository that has our hook as pre-commit would install it, less the installation."""
    [hook] = HOOKS
    local = {"repos": [{"repo": "local", "hooks": [{**hook, "language": "system"}]}]}
    repository.write(".pre-commit-config.yaml", yaml.safe_dump(local))
    repository.write("experiments/faster-build/experiment.yml", SPEC)
    repository.write("build.sh", "#!/bin/sh\n", executable=True)
    repository.write("experiments/faster-build/treatment/build.sh", "#!/bin/sh\n: new\n")
    (repository.path / "experiments/faster-build/treatment/build.sh").chmod(0o755)
    repository.git("add", "-A")
    return repository


def test_the_hook_is_one_that_pre_commit_reads() -> None:
    manifest = [str(TOOLS / "pre-commit"), "validate-manifest", ".pre-commit-hooks.yaml"]
    done = subprocess.run(manifest, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_hook_passes_a_valid_experiment(with_hook: Repository) -> None:
    done = pre_commit(with_hook, "run", "expci-validate")
    assert done.returncode == 0, done.stdout + done.stderr
    assert "Passed" in done.stdout


def test_the_hook_names_the_line_of_a_problem(with_hook: Repository) -> None:
    path = "experiments/faster-build/experiment.yml"
    with_hook.write(path, SPEC.replace("15%}", "15%, rolle: x}"))
    with_hook.git("add", "-A")
    done = pre_commit(with_hook, "run", "expci-validate")
    assert done.returncode == 1
    assert f"{path}:9" in done.stdout


def test_the_hook_is_not_for_other_files(repository: Repository, with_hook: Repository) -> None:
    with_hook.git("commit", "-q", "-m", "Propose")
    with_hook.write("other.txt", "x")
    with_hook.git("add", "-A")
    assert "Skipped" in pre_commit(with_hook, "run", "expci-validate").stdout


def test_the_constant_of_the_owner_is_that_of_the_package() -> None:
    text = (ROOT / "hatch_build.py").read_text()
    [home] = (
        ast.literal_eval(node.value)
        for node in ast.parse(text).body
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "HOME"
    )
    assert home == f"https://github.com/{OWNER}"
