"""`init`: writes what is missing, and never over what a person changed."""

import json
import shutil
import subprocess
import sys
from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from click.testing import CliRunner, Result

from expci.cli import cli
from expci.core.spec.json_schema import defaults_schema
from expci.core.spec.repository_defaults import read_defaults
from expci.core.spec.yaml_document import read_document
from expci.errors import ExpciError
from expci.flows.setup.init import DEFAULTS_TEXT, InitResult, initialize, left_to_do
from expci.flows.setup.pin import find_pin
from expci.flows.setup.workflows import Caller, Status, callers, is_set_up, outdated, render
from support.command import expci_command
from support.repositories import Repository, git

FILES = ("experiments/expci.yml", "experiments/README.md")
NAMES = ("expci-validate", "expci-lab", "expci-pass")
WORKFLOWS = tuple(f".github/workflows/{name}.yml" for name in NAMES)
OLD, NEW = "1" * 40, "2" * 40


def test_again_changes_nothing_and_says_what_it_kept(tmp_path: Path) -> None:
    assert initialize(tmp_path) == InitResult(written=FILES, kept=(), changed=())
    assert initialize(tmp_path) == InitResult(written=(), kept=FILES, changed=())
    (tmp_path / FILES[0]).write_text("version: 1\ntimeout: 5m\n")
    (tmp_path / FILES[1]).unlink()
    assert initialize(tmp_path) == InitResult(written=FILES[1:], kept=(), changed=FILES[:1])
    assert (tmp_path / FILES[0]).read_text() == "version: 1\ntimeout: 5m\n"


def test_the_defaults_are_valid_also_with_every_comment_opened() -> None:
    assert read_defaults(DEFAULTS_TEXT).problems == ()
    head, _, keys = DEFAULTS_TEXT.partition("version: 1\n")
    assert head
    opened = "version: 1\n" + keys.replace("# ", "", keys.count("\n# ") + 1)
    lines = [line.removeprefix("# ") for line in keys.splitlines()]
    opened = "version: 1\n" + "\n".join(lines) + "\n"
    assert read_defaults(opened).problems == ()
    data = read_document(opened, "f").data
    assert {"roots", "ledger", "plan", "decision", "assignment", "share"} <= data.keys()
    jsonschema.validate(data, defaults_schema())


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/experiments").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExpciError, match="symlink"):
        initialize(tmp_path / "a")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "experiments").write_text("")
    with pytest.raises(ExpciError, match="is a file"):
        initialize(tmp_path)


# --- workflows -----------------------------------------------------------------------------


def status_of(root: Path, pin: str) -> list[Status]:
    return [caller.status for caller in callers(root, pin)]


def edit(path: Path, old: str, new: str) -> None:
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def test_workflows_are_written_once_and_then_kept(tmp_path: Path) -> None:
    assert not is_set_up(tmp_path)
    assert initialize(tmp_path, NEW).written == (*FILES, *WORKFLOWS)
    before = {path: (tmp_path / path).read_bytes() for path in WORKFLOWS}
    assert initialize(tmp_path, NEW) == InitResult((), (*FILES, *WORKFLOWS), ())
    assert {path: (tmp_path / path).read_bytes() for path in WORKFLOWS} == before
    assert outdated(tmp_path, NEW) == ()
    assert is_set_up(tmp_path)


def test_untouched_workflows_follow_a_new_version_after_their_diff_was_shown(
    tmp_path: Path,
) -> None:
    initialize(tmp_path, OLD)
    assert status_of(tmp_path, NEW) == [Status.OURS] * 3
    shown: list[Caller] = []
    result = initialize(tmp_path, NEW, show=shown.append)
    assert result.updated == WORKFLOWS
    assert result.refused == ()
    assert [caller.path for caller in shown] == list(WORKFLOWS)
    assert f"{OLD}" in shown[0].diff
    assert f"{NEW}" in shown[0].diff
    assert outdated(tmp_path, NEW) == ()


def test_an_edited_workflow_is_overwritten_only_when_asked_for(tmp_path: Path) -> None:
    initialize(tmp_path, OLD)
    path = tmp_path / WORKFLOWS[2]
    edit(path, "23 * * * *", "41 5 * * *")
    assert status_of(tmp_path, OLD) == [Status.CURRENT, Status.CURRENT, Status.EDITED]
    assert initialize(tmp_path, OLD, agree=lambda _: True).changed == (WORKFLOWS[2],)
    assert "41 5" in path.read_text()  # at this version there is nothing to overwrite it for
    assert status_of(tmp_path, NEW) == [Status.OURS, Status.OURS, Status.STALE]
    edited = path.read_bytes()
    result = initialize(tmp_path, NEW)
    assert (result.updated, result.refused) == (WORKFLOWS[:2], WORKFLOWS[2:])
    assert path.read_bytes() == edited
    assert initialize(tmp_path, NEW, agree=lambda _: True).updated == WORKFLOWS[2:]
    assert outdated(tmp_path, NEW) == ()


def test_somebody_elses_file_of_that_name_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / WORKFLOWS[0]
    path.parent.mkdir(parents=True)
    path.write_text("name: mine\n")
    assert initialize(tmp_path, NEW).refused == WORKFLOWS[:1]
    assert path.read_text() == "name: mine\n"


def test_the_pass_follows_the_workflows_that_take_trials(tmp_path: Path) -> None:
    directory = tmp_path / ".github/workflows"
    directory.mkdir(parents=True)
    use = f"jobs:\n  a:\n    steps:\n      - uses: expci/expci/.github/actions/record@{NEW}\n"
    (directory / "build.yml").write_text(f"name: Build & test\non: push\n{use}")
    (directory / "no-name.yaml").write_text(f"on: push\n{use}")
    (directory / "other.yml").write_text("name: other\non: push\n")
    (directory / "broken.yml").write_text("name: [\n# expci/expci/.github/actions/\n")
    text = callers(tmp_path, NEW)[2].wanted
    after = next(line.strip() for line in text.splitlines() if "workflows: [" in line)
    assert json.loads(after.removeprefix("workflows: ")) == [
        "expci-validate",
        "expci-lab",
        ".github/workflows/broken.yml",
        ".github/workflows/no-name.yaml",
        "Build & test",
    ]


def test_requests_are_watched_where_experiments_lie(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/expci.yml").write_text("version: 1\nroots: [a/tests, b]\n")
    for caller in callers(tmp_path, NEW)[:2]:
        assert 'paths: ["a/tests/**", "b/**"]' in caller.wanted


@pytest.mark.parametrize("link", [".github", ".github/workflows", WORKFLOWS[1]])
def test_links_are_not_written_through(tmp_path: Path, link: str) -> None:
    root, away = tmp_path / "root", tmp_path / "away"
    (root / link).parent.mkdir(parents=True)
    away.mkdir() if "." not in Path(link).name[1:] else away.write_text("kept\n")
    (root / link).symlink_to(away)
    with pytest.raises(ExpciError, match="symlink"):
        initialize(root, NEW)
    assert away.read_text() == "kept\n" if away.is_file() else not list(away.iterdir())
    assert not (root / "experiments").exists()


def test_all_that_is_left_is_pinned_to_the_same_commit() -> None:
    assert left_to_do(NEW).count(f"@{NEW}\n") == 2
    every = left_to_do(NEW, lab_secrets=["KEY"], site=True)
    steps = [line[:1] for line in every.splitlines() if line[1:3] == ". "]
    assert steps == ["1", "2", "3", "4", "5"]
    for name in NAMES:
        assert "@PIN@" not in render(name, NEW, ["experiments"], [])


# --- which commit ----------------------------------------------------------------------------


def test_a_branch_is_no_pin() -> None:
    assert find_pin(NEW) == NEW
    for given in ("main", "v1", NEW[:12], NEW.replace("2", "G"), f"{NEW}\n"):
        with pytest.raises(ExpciError, match="40 hexadecimal"):
            find_pin(given)


def installed_pin(site: Path, cwd: Path) -> subprocess.CompletedProcess[str]:
    """What an expci that was copied to `site` says about itself."""
    code = "from expci.flows.setup.pin import find_pin; print(find_pin(None))"
    # -P and the path in front: this copy, and not the checkout that the tests run from.
    start = f"import sys; sys.path.insert(0, {str(site)!r}); {code}"
    command = [sys.executable, "-P", "-c", start]
    return subprocess.run(command, cwd=cwd, capture_output=True, text=True, check=False)


def test_the_pin_is_what_the_installer_noted(tmp_path: Path, repository: Repository) -> None:
    site = repository.path / ".venv/site-packages"  # inside a repository that is not expci's
    (site / "expci-0.1.0.dist-info").mkdir(parents=True)
    note = site / "expci-0.1.0.dist-info/direct_url.json"
    (site / "expci-0.1.0.dist-info/METADATA").write_text("Name: expci\nVersion: 0.1.0\n")
    package = Path(__file__).parents[3] / "expci"
    shutil.copytree(package, site / "expci", ignore=shutil.ignore_patterns("__pycache__"))
    done = installed_pin(site, tmp_path)
    assert done.returncode == 1
    assert "--pin" in done.stderr
    assert "--no-workflows" in done.stderr
    start = f"import sys; sys.path.insert(0, {str(site)!r}); from expci.cli import main; main()"
    command = [sys.executable, "-P", "-c", start, "init"]
    done = subprocess.run(command, cwd=repository.path, capture_output=True, text=True)
    assert (done.returncode, "no workflows were written" in done.stderr) == (0, True)
    assert (repository.path / "experiments").is_dir()
    assert not (repository.path / ".github").exists()
    note.write_text(json.dumps({"url": "u", "vcs_info": {"vcs": "git", "commit_id": NEW}}))
    assert installed_pin(site, tmp_path).stdout.strip() == NEW
    # `pip install .` in a checkout
    checkout = tmp_path / "check out"
    (checkout / "expci").mkdir(parents=True)
    (checkout / "expci/__init__.py").write_text("")
    git(tmp_path, "init", "-q", str(checkout))
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "x")
    note.write_text(json.dumps({"url": checkout.as_uri(), "dir_info": {}}))
    assert installed_pin(site, tmp_path).stdout.strip() == git(checkout, "rev-parse", "HEAD")


def init(repository: Repository, *arguments: str) -> Result:
    """In this process, which has no terminal either: a start of Python takes half a second."""
    command = ["-C", str(repository.path), "init", *arguments]
    result = CliRunner().invoke(cli, command, standalone_mode=False)
    assert result.exception is None, result.output
    return result


def checkout_of_expci(directory: Path) -> Path:
    """A checkout of expci, as a developer of it has one."""
    checkout = directory / "check out"
    package = Path(__file__).parents[3] / "expci"
    shutil.copytree(package, checkout / "expci", ignore=shutil.ignore_patterns("__pycache__"))
    (checkout / "notes.txt").write_text("")
    (checkout / ".gitignore").write_text("__pycache__/\n")
    git(directory, "init", "-q", str(checkout))
    git(checkout, "add", "-A")
    git(checkout, "commit", "-q", "-m", "x")
    return checkout


def test_a_checkout_that_is_not_its_commit_is_no_pin(tmp_path: Path) -> None:
    checkout = checkout_of_expci(tmp_path)
    (checkout / "notes.txt").write_text("nothing that a workflow runs\n")
    assert installed_pin(checkout, tmp_path).stdout.strip() == git(checkout, "rev-parse", "HEAD")
    (checkout / "expci" / "new_module.py").write_text("")
    done = installed_pin(checkout, tmp_path)
    assert done.returncode == 1
    assert "expci/new_module.py changed. The workflows would run something else" in done.stderr
    (checkout / "expci" / "new_module.py").unlink()
    with (checkout / "expci" / "errors.py").open("a") as file:
        file.write("# more\n")
    assert "expci/errors.py changed" in installed_pin(checkout, tmp_path).stderr


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A server with the repository octocat/expci on it; its commit is HEAD."""
    place = tmp_path / "server" / "octocat" / "expci"
    git(tmp_path, "init", "-q", str(place))
    git(place, "commit", "-q", "--allow-empty", "-m", "first")
    git(place, "commit", "-q", "--allow-empty", "-m", "second")
    monkeypatch.setenv("GITHUB_SERVER_URL", (tmp_path / "server").as_uri())
    return place


def test_a_commit_that_its_home_does_not_have_is_refused(
    repository: Repository, home: Path
) -> None:
    older = git(home, "rev-parse", "HEAD^")
    done = init(repository, "--home", "octocat/expci", "--pin", older)
    assert done.return_value == 0
    assert "could not be checked" not in done.stderr
    before = (repository.path / WORKFLOWS[2]).read_bytes()
    command = ["-C", str(repository.path), "init", "--home", "octocat/expci", "--pin", NEW]
    refused = CliRunner().invoke(cli, command, standalone_mode=False)
    assert isinstance(refused.exception, ExpciError)
    assert f"octocat/expci has no commit {NEW}" in str(refused.exception)
    assert (repository.path / WORKFLOWS[2]).read_bytes() == before


def test_a_home_that_cannot_be_asked_is_said(repository: Repository) -> None:
    done = init(repository, "--pin", OLD)
    assert f"warning: whether expci/expci has the commit {OLD} could not be checked" in done.stderr


def test_the_workflows_use_the_actions_of_ones_own_home(repository: Repository, home: Path) -> None:
    commit = git(home, "rev-parse", "HEAD")
    done = init(repository, "--home", "octocat/expci", "--pin", commit)
    assert f"uses: octocat/expci/.github/actions/assign@{commit}" in done.stdout
    assert "the workflows call octocat/expci at" in done.stdout
    for path in WORKFLOWS:
        text = (repository.path / path).read_text()
        uses = [
            line.split("uses: ")[1].split("@")[0] for line in text.splitlines() if "uses:" in line
        ]
        assert any(name.startswith("octocat/expci/.github/actions/") for name in uses)
        assert not any(name.startswith("expci/expci") for name in uses)
    # A workflow that takes part by that home's actions is one that the pass follows.
    own = repository.path / ".github/workflows/ci.yml"
    step = f"octocat/expci/.github/actions/assign@{commit}"
    own.write_text(f"name: nightly\non: push\njobs: {{a: {{steps: [{{uses: {step}}}]}}}}\n")
    assert init(repository, "--pin", commit).return_value == 0, "the home is remembered"
    text = (repository.path / WORKFLOWS[2]).read_text()
    assert '"nightly"' in text
    assert "octocat/expci/.github/actions/pass" in text
    assert init(repository, "--pin", commit, "--check").return_value == 0
    assert init(repository, "--pin", commit, "--home", "expci/expci", "--check").return_value == 3


@pytest.mark.parametrize("given", ["expci", "a/b/c", "https://github.com/a/b", "a/b@main", "../a"])
def test_a_home_is_an_owner_and_a_name(repository: Repository, given: str) -> None:
    command = ["-C", str(repository.path), "init", "--pin", NEW, "--home", given]
    refused = CliRunner().invoke(cli, command, standalone_mode=False)
    assert isinstance(refused.exception, ExpciError), refused.output
    assert "OWNER/REPO" in str(refused.exception)
    assert not (repository.path / ".github").exists()


# --- the verb ----------------------------------------------------------------------------------


def test_the_verb_shows_diffs_and_its_exit_code_says_how_it_went(repository: Repository) -> None:
    assert init(repository, "--pin", OLD, "--check").return_value == 3
    assert not (repository.path / ".github").exists()
    first = init(repository, "--pin", OLD)
    assert first.return_value == 0
    assert f"uses: expci/expci/.github/actions/assign@{OLD}" in first.stdout
    assert init(repository, "--pin", OLD, "--check").return_value == 0
    edit(repository.path / WORKFLOWS[2], "23 * * * *", "41 5 * * *")
    check = init(repository, "--pin", NEW, "--check", "--json")
    assert check.return_value == 3
    assert json.loads(check.stdout)["outdated"][WORKFLOWS[2]] == "edited and outdated"
    again = init(repository, "--pin", NEW)
    assert again.return_value == 1
    assert '-    - cron: "41 5 * * *"' in again.stdout
    assert f"left {WORKFLOWS[2]} alone" in again.stdout
    forced = init(repository, "--pin", NEW, "--yes", "--json")
    assert forced.return_value == 0
    assert json.loads(forced.stdout)["updated"] == [WORKFLOWS[2]]
    assert init(repository, "--pin", NEW, "--check").return_value == 0


def test_without_workflows_nothing_but_experiments_is_written(repository: Repository) -> None:
    assert init(repository, "--no-workflows").return_value == 0
    assert not (repository.path / ".github").exists()
    assert (repository.path / FILES[0]).exists()


def test_a_process_exits_with_3_where_something_is_missing(repository: Repository) -> None:
    done = expci_command(repository.path, "init", "--check", "--pin", NEW)
    assert (done.returncode, done.stdout.count(": missing\n")) == (3, 3)


def test_the_page_is_published_where_it_is_asked_for(tmp_path: Path) -> None:
    path = ".github/workflows/expci-site.yml"
    assert path not in initialize(tmp_path, NEW).written
    assert path in initialize(tmp_path, NEW, site=True).written
    text = (tmp_path / path).read_text()
    assert f"expci/expci/.github/actions/site@{NEW}" in text
    assert yaml.safe_load(text)[True] == {"workflow_dispatch": None}, "no job in an idle hour"
    jobs = yaml.safe_load(text)["jobs"]
    assert {name: job["permissions"] for name, job in jobs.items()} == {
        "build": {"contents": "read"},
        "publish": {"pages": "write", "id-token": "write"},
    }
    # From then on it is kept up to date like the others.
    assert path in initialize(tmp_path, "c" * 40).updated
