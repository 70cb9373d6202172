"""Ways out of an arm's work tree, and other first contacts of a project with the lab."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from expci.runner.lab.bench import SLOW_S, slow_set_up
from expci.runner.lab.script_paths import in_scripts
from expci.runner.lab.ways_back import ways_back
from expci.runner.lab.workspace import WORKSPACES, turned
from support.clones import Clone, make_clone, run_git
from support.processes import HANG_S

RUN = 'run: cd "${PLACE:-.}" && printf "value=" > $EXPCI_METRICS && cat value.txt >> $EXPCI_METRICS'


def lab(tmp_path: Path, keys: str = RUN, **files: str) -> Clone:
    """A clone whose arms differ in `value.txt` and `pkg/value.txt`: 1 and 2."""
    clone = make_clone(tmp_path, keys)
    home = "experiments/faster/treatment"
    for path in ("value.txt", "pkg/value.txt"):
        clone.write({path: "1\n", f"{home}/{path}": "2\n"})
    clone.write(files)
    clone.commit()
    clone.publish()
    return clone


def trial(clone: Clone, *arguments: str, **environment: str) -> dict[str, Any]:
    done = clone.expci("trial", "faster", "--json", *arguments, env=environment)
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def values(result: dict[str, Any]) -> dict[str, float]:
    return {item["arm"]: item["metrics"].get("value") for item in result["trials"]}


@pytest.mark.parametrize("name", sorted(WORKSPACES))
def test_workspace_variables_lead_to_the_arm(tmp_path: Path, name: str) -> None:
    checkout, root = tmp_path / "w/repo", tmp_path / "arms/0/repo"
    for path in (checkout / "sub", root / "sub"):
        path.mkdir(parents=True)
    environment = turned({name: str(checkout), "HOME": str(tmp_path)}, checkout, root)
    assert environment == {name: str(root), "HOME": str(tmp_path)}
    # A checkout below the workspace: what lies beside it lies beside the arm.
    (tmp_path / "w/beside").mkdir()
    workspace = Path(turned({name: str(checkout.parent)}, checkout, root)[name])
    assert (workspace / "repo").samefile(root)
    assert (workspace / "beside").samefile(tmp_path / "w/beside")


@pytest.mark.parametrize("name", ["CI_PROJECT_DIR", "WORKSPACE", "MY_OWN_ROOT"])
def test_a_run_that_changes_to_the_workspace_sees_its_arm(tmp_path: Path, name: str) -> None:
    clone = lab(tmp_path, RUN.replace("PLACE", name))
    link = tmp_path / "link"
    link.symlink_to(clone.root)
    for place in {str(clone.root), str(link) if name in WORKSPACES else str(clone.root)}:
        assert values(trial(clone, **{name: place})) == {"control": 1.0, "treatment": 2.0}


def test_search_paths_lead_to_the_arm_where_it_has_such_a_file(tmp_path: Path) -> None:
    checkout, root = tmp_path / "repo", tmp_path / "arm"
    (checkout / "src").mkdir(parents=True)
    (root / "src").mkdir(parents=True)
    path = f"{checkout}/src:/usr/bin:{checkout}/node_modules/.bin"
    assert turned({"PATH": path}, checkout, root)["PATH"] == path.replace(
        f"{checkout}/src", f"{root}/src"
    )


def shared(clone: Clone, name: str) -> list[str]:
    return [str(way) for way in ways_back([clone.root], name, clone.root / name)]


def test_links_and_installations_that_lead_back_are_named(tmp_path: Path) -> None:
    clone = lab(tmp_path)
    site = clone.root / ".venv/lib/site-packages"
    info = site / "pkg-1.dist-info"
    (clone.root / "node_modules/@own").mkdir(parents=True)
    info.mkdir(parents=True)
    (clone.root / "node_modules/real").mkdir()
    (clone.root / "node_modules/alias").symlink_to("real")
    assert shared(clone, "node_modules") == []
    (clone.root / "node_modules/@own/pkg").symlink_to("../../pkg")
    assert shared(clone, "node_modules") == ["node_modules/@own/pkg leads back to pkg"]
    for file, text in {
        site / "easy-install.pth": f"{clone.root}/pkg\n",
        site / "relative.pth": "../../../pkg\n",
        site / "x.egg-link": f"{clone.root}\n.",
        site / "__editable___pkg_finder.py": f"MAPPING = {{'pkg': '{clone.root}/pkg'}}\n",
        info / "direct_url.json": json.dumps({"url": f"file://{clone.root}"}),
    }.items():
        file.write_text(text)
        assert any(file.name in way for way in shared(clone, ".venv")), file.name
    (site / "beside.pth").write_text(f"{clone.root}-other/src\nimport sys\n")
    assert not any("beside" in way for way in shared(clone, ".venv"))


def test_trials_that_may_run_the_checkout_s_files_do_not_count(tmp_path: Path) -> None:
    clone = lab(tmp_path, RUN + "\nshare: [node_modules]")
    (clone.root / "node_modules").mkdir()
    (clone.root / "node_modules/pkg").symlink_to("../pkg")
    result = trial(clone, PLACE="node_modules/pkg")
    assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}
    assert any("node_modules/pkg leads back to pkg" in text for text in result["warnings"])
    # What leads elsewhere in the checkout is said, and counts.
    (clone.root / "node_modules/pkg").unlink()
    (clone.root / "node_modules/lib").symlink_to("../experiments")
    result = trial(clone)
    assert {item["excluded"] for item in result["trials"]} == {None}
    assert any("leads back to experiments" in text for text in result["warnings"])


def marker(clone: Clone) -> Path:
    """A file that a run leaves; `RUN_MARK` is a command that makes it."""
    return clone.root.parent / "ran"


def test_an_active_environment_that_leads_back_is_noticed_before_anything_runs(
    tmp_path: Path,
) -> None:
    clone = lab(tmp_path, f"run: touch {tmp_path}/ran")
    venv = tmp_path / "venv"
    venv.mkdir()
    (venv / "__editable__.pth").write_text(f"{clone.root}\n")
    result = trial(clone, "--pairs", "3", VIRTUAL_ENV=str(venv))
    assert [item["excluded"] for item in result["trials"]] == ["not_exposed"] * 2
    assert not marker(clone).exists()
    [first] = [text for text in result["warnings"] if "no arm would be in force" in text]
    assert "__editable__.pth leads back to the checkout itself" in first
    assert "install it again in `setup:`" in first
    assert "--in-place" in first
    # In place the installation leads to the files that are put there in turns.
    result = trial(clone, "--in-place", VIRTUAL_ENV=str(venv))
    assert [item["excluded"] for item in result["trials"]] == [None, None]


def real_venv(directory: Path) -> Path:
    subprocess.run(
        [sys.executable, "-m", "venv", "--without-pip", str(directory)], check=True, timeout=HANG_S
    )
    return directory


@pytest.mark.parametrize("how", ["venv on PATH", "user site"])
def test_an_editable_installation_of_the_python_on_path_is_noticed(
    tmp_path: Path, how: str
) -> None:
    """Nothing is shared and no environment active; `python3` imports the checkout's package."""
    run = "cd / && python3 -c 'import pkg; print(pkg.__file__)' > $SEEN_$EXPCI_ARM"
    clone = lab(tmp_path, f'run: "{run}"', **{"pkg/__init__.py": ""})
    clone.write({"experiments/faster/treatment/pkg/__init__.py": "x = 2\n"})
    clone.commit()
    clone.publish()
    if how == "user site":
        version = f"python{sys.version_info.major}.{sys.version_info.minor}"
        site = tmp_path / "home/.local/lib" / version / "site-packages"
        bare = Path(sys.executable).resolve().parent  # no virtual environment: those have none
        path = f"{bare}{os.pathsep}{clone.environment['PATH']}"
        environment = {"HOME": str(tmp_path / "home"), "PATH": path}
    else:
        [site] = real_venv(tmp_path / "env").glob("lib/python*/site-packages")
        environment = {"PATH": f"{tmp_path}/env/bin:{clone.environment['PATH']}"}
    environment |= {"PYTHONPATH": "", "SEEN_": f"{tmp_path}/seen-"}
    site.mkdir(parents=True, exist_ok=True)
    (site / "pkg.pth").write_text(f"{clone.root}\n")
    # The premise: such an installation does lead both arms to the checkout.
    path = environment.get("PATH", clone.environment["PATH"])
    where = subprocess.run(
        ["python3", "-c", "import pkg; print(pkg.__file__)"],
        env={**clone.environment, **environment, "PATH": path},
        cwd="/",
        capture_output=True,
        text=True,
        check=False,
    ).stdout.strip()
    if where:  # a python3 of the same version reads this user site
        assert where.startswith(str(clone.root))
    source = Path(__file__).parents[3]
    result = trial_with_source(clone, source, **environment)
    assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}
    assert any("pkg.pth leads back to the checkout itself" in t for t in result["warnings"])
    # An arm that varies nothing that Python imports is in force all the same.
    (clone.root / "experiments/faster/treatment/pkg/__init__.py").unlink()
    clone.commit()
    clone.publish()
    result = trial_with_source(clone, source, **environment)
    assert {item["excluded"] for item in result["trials"]} == {None}


def trial_with_source(clone: Clone, source: Path, **environment: str) -> dict[str, Any]:
    """`trial` where PYTHONPATH is the run's own: the program is named by its directory."""
    start = f"import sys; sys.path.insert(0, {str(source)!r}); sys.argv[0] = 'expci'\n"
    start += "from expci.runner.__main__ import main; import os\n"
    start += "sys.exit(main(['trial', 'faster', '--json'], dict(os.environ)))"
    done = subprocess.run(
        [sys.executable, "-S", "-c", start],
        cwd=clone.root,
        env={**clone.environment, **environment},
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )
    result: dict[str, Any] = json.loads(done.stdout)
    return result


def test_a_global_npm_link_is_noticed(tmp_path: Path) -> None:
    clone = lab(tmp_path)
    prefix = tmp_path / "prefix"
    (prefix / "bin").mkdir(parents=True)
    (prefix / "lib/node_modules/@own").mkdir(parents=True)
    (prefix / "lib/node_modules/@own/pkg").symlink_to(clone.root / "pkg")
    result = trial(clone, PATH=f"{prefix}/bin:{clone.environment['PATH']}")
    assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}
    assert any("@own/pkg leads back to pkg" in text for text in result["warnings"])


def test_a_setup_that_turns_a_shared_environment_to_one_arm_is_noticed(tmp_path: Path) -> None:
    keys = "share: [.venv]\nsetup: pwd > .venv/pkg.pth\nrun: cat value.txt"
    clone = lab(tmp_path, keys)
    clone.write({".gitignore": ".venv/\n", ".venv/pyvenv.cfg": ""})
    clone.commit()
    clone.publish()
    result = trial(clone)
    assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}
    assert any("leave .venv out of `share:`" in text for text in result["warnings"])
    result = trial(clone, "--arm", "treatment")  # alone it is what the setup made of it
    assert [item["excluded"] for item in result["trials"]] == [None]


def test_a_setup_that_links_the_checkout_into_the_arm_is_noticed(tmp_path: Path) -> None:
    keys = f"setup: mkdir mods && ln -s {tmp_path}/clone/pkg mods/pkg\n{RUN}"
    result = trial(lab(tmp_path, keys))
    assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}
    assert any("leads back to pkg" in text for text in result["warnings"])


def test_absolute_paths_into_the_checkout_lead_to_the_arm_or_are_named(tmp_path: Path) -> None:
    clone = lab(tmp_path)
    clone.write({"print.sh": 'printf "value=$(cat "$(dirname "$0")/value.txt")" > $EXPCI_METRICS'})
    clone.commit()
    clone.publish()
    result = trial(clone, "--", "sh", f"{clone.root}/print.sh")
    assert values(result) == {"control": 1.0, "treatment": 2.0}
    script = f"cd {clone.root}; sh print.sh"
    result = trial(clone, "--", "sh", "-c", script)
    assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}
    assert any("write the path relative to the repository" in t for t in result["warnings"])
    # So is what a script names, a script of a script, and a link that leads there.
    (tmp_path / "beside").symlink_to(clone.root)
    for text in (
        f"cat {clone.root}/value.txt",
        f"cat {tmp_path}/beside/value.txt",
        "sh sub/own.sh",
    ):
        clone.write({"run.sh": text, "sub/own.sh": f"cd {clone.root}; sh print.sh"})
        clone.commit()
        result = trial(clone, "--", "sh", "run.sh")
        assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}, text
        assert any("write the path relative to the repository" in t for t in result["warnings"])
    clone.write({"run.sh": f"# was {clone.root}/value.txt\nsh print.sh"})
    clone.commit()
    assert values(trial(clone, "--", "sh", "run.sh")) == {"control": 1.0, "treatment": 2.0}
    # A link beside the checkout is followed to it.
    (tmp_path / "link").symlink_to(clone.root)
    assert values(trial(clone, PLACE=f"{tmp_path}/link")) == {"control": 1.0, "treatment": 2.0}


@pytest.mark.skipif(sys.platform != "linux", reason="opened files are known on Linux")
@pytest.mark.parametrize(
    ("place", "excluded", "words"),
    [
        ("$HOME/clone", "not_exposed", "it opened value.txt in the checkout"),
        ("$(git rev-parse --git-common-dir)/..", "not_exposed", "in the checkout"),
        ("$(git worktree list | sed -n '$s/ .*//p')", "not_exposed", "another arm's work tree"),
        ("build/copy", None, "neither its setup nor its run opened any file of the arm"),
    ],
)
def test_runs_that_leave_the_work_tree_by_any_way_are_noticed_as_they_run(
    tmp_path: Path, place: str, excluded: str | None, words: str
) -> None:
    run = f'cd "{place}" && echo "value=$(cat value.txt)" > $EXPCI_METRICS'
    clone = lab(tmp_path, f"run: |\n  {run}\nshare: [build]", **{".gitignore": "build/\n"})
    clone.write({"build/copy/value.txt": "1\n"})
    result = trial(clone, "--pairs", "2", HOME=str(tmp_path))
    arms = {item["arm"]: item["excluded"] for item in result["trials"]}
    assert excluded in arms.values()
    assert any(words in text for text in result["warnings"])
    # One round shows it: no second one is run where nothing can come of it.
    assert len(result["trials"]) == (4 if excluded is None else 2)


def test_a_program_on_the_path_that_is_a_link_into_the_checkout_is_named(tmp_path: Path) -> None:
    clone = lab(tmp_path, **{"value.txt": "1\n", "other.txt": "3\n"})
    (tmp_path / "bin").mkdir()
    for name in ("value.txt", "other.txt"):
        (tmp_path / "bin" / name.removesuffix(".txt")).symlink_to(clone.root / name)
        (clone.root / name).chmod(0o755)
    environment = {"PATH": f"{tmp_path}/bin:{os.environ['PATH']}"}
    result = trial(clone, "--", "sh", "-c", "value || true", **environment)
    assert {item["excluded"] for item in result["trials"]} == {"not_exposed"}
    assert any("`value` on PATH, leads back to value.txt" in t for t in result["warnings"])
    # What no arm varies is no arm's file.
    result = trial(clone, "--", "sh", "-c", "other || true", **environment)
    assert {item["excluded"] for item in result["trials"]} == {None}


def test_a_manifest_that_names_the_checkout_is_a_way_back(tmp_path: Path) -> None:
    checkout, root = tmp_path / "checkout", tmp_path / "arm"
    for path in (checkout / "lib", root):
        path.mkdir(parents=True)
    (checkout / "lib/a.go").write_text("")
    for name, text in (
        ("go.mod", f"replace example.com/lib => {checkout}/lib\n"),
        ("Cargo.toml", f'lib = {{ path = "{checkout}/lib" }}\n'),
        ("requirements.txt", f"-e {checkout}/lib\n"),
    ):
        (root / name).write_text(text)
        [way] = in_scripts(checkout, root, ("true",), {})
        assert (way.target, way.covers(["lib/a.go"])) == ("lib", True)
        assert str(way) == f"{checkout}/lib in {name} leads back to lib"
        (root / name).unlink()
    assert list(in_scripts(checkout, root, ("ls", "/usr/bin", f"{checkout}x/lib"), {})) == []


def test_a_first_pair_that_fails_is_explained_at_once(tmp_path: Path) -> None:
    clone = lab(tmp_path, "run: ./node_modules/tool")
    clone.write({".gitignore": "node_modules/\n", "node_modules/tool": "exit 0\n"})
    done = clone.expci("trial", "faster", "--pairs", "3")
    words = done.stderr
    assert "share: [node_modules]" in words.split("(3/6)")[0]
    assert words.count("every run of the first round failed") == 1
    words = clone.expci("trial", "faster", "--pairs", "11").stderr
    assert words.count("every run of the first round failed") == 2  # at the end too
    for run, expected in (("exit 1", True), ('test "$EXPCI_ARM" = control', False)):
        result = trial(clone, "--", "sh", "-c", run)
        assert any("every run of the first" in text for text in result["warnings"]) is expected


def test_a_command_that_is_not_found_and_a_control_that_fails_are_named(tmp_path: Path) -> None:
    clone = lab(tmp_path, "run: no-such-tool --fast")
    clone.write({".gitignore": "vendor/\n", "vendor/no-such-tool": ""})
    clone.commit()
    clone.publish()
    [text] = [text for text in trial(clone)["warnings"] if "every run of the first" in text]
    assert "Code 127 means that a command was not found" in text
    assert "share: [vendor]" in text
    assert "`setup:`" in text
    result = trial(clone, "--", "sh", "-c", 'test "$EXPCI_ARM" = treatment || exit 4')
    [text] = [text for text in result["warnings"] if "control failed" in text]
    assert "control failed with code 4" in text
    assert "127" not in text


@pytest.mark.parametrize(
    ("primary", "written", "words"),
    [
        ("duration", "", "Did you mean duration_s?"),
        ("tokens", "token=4", "Did you mean token?"),
        ("score", "", "write score=VALUE to the file that $EXPCI_METRICS names"),
        ("score", "other=1", "Reported were: other."),
        ("score", "score=1", None),
    ],
)
def test_a_primary_metric_that_is_not_reported_is_named_at_the_first_pair(
    tmp_path: Path, primary: str, written: str, words: str | None
) -> None:
    clone = lab(tmp_path, f"run: echo {written} > $EXPCI_METRICS")
    file = clone.root / "experiments/faster/experiment.yml"
    kept = file.read_text().replace("duration_s, role: primary", f"{primary}, role: primary")
    file.write_text(kept)
    clone.commit()
    clone.publish()
    done = clone.expci("trial", "faster", "--pairs", "2")
    early = done.stderr.split("(3/4)")[0]
    if words is None:
        assert "primary metric" not in done.stderr
    else:
        assert f"control and treatment did not report the primary metric {primary}" in " ".join(
            early.replace("treatment and control", "control and treatment").split()
        )
        assert words in early


def test_a_duration_beside_the_one_that_expci_measures_is_named(tmp_path: Path) -> None:
    clone = lab(tmp_path, "run: echo duration=3 > $EXPCI_METRICS")
    clone.publish()
    result = trial(clone)
    [text] = [text for text in result["warnings"] if "expci measured" in text]
    assert text.startswith("the command reports duration, and the primary metric duration_s is")
    assert "such as work_s, and make that the primary metric" in text


@pytest.mark.parametrize(
    ("setup", "is_said"),
    [
        ("sleep 60 &", True),
        ("nohup sleep 60 >/dev/null 2>&1 & sleep 0.1", True),
        ("sleep 0.1 & wait", False),
        ("true", False),
    ],
)
def test_what_setup_leaves_running_is_named(tmp_path: Path, setup: str, is_said: bool) -> None:
    clone = lab(tmp_path, f"run: 'true'\nsetup: '{setup}'")
    warnings = " ".join(trial(clone)["warnings"])
    assert ("setup left 1 processes running in the background" in warnings) is is_said


def test_edits_that_no_arm_has_are_named(tmp_path: Path) -> None:
    clone = lab(tmp_path)
    assert trial(clone)["warnings"] == []
    clone.write({"tool.sh": "edited\n", "untracked.txt": "data\n"})
    run_git(clone.root, "add", "tool.sh")
    (clone.root / "other.txt").unlink()
    [warning] = trial(clone)["warnings"]
    assert "not committed, so not part of this trial: other.txt, tool.sh;" in warning
    assert values(trial(clone)) == {"control": 1.0, "treatment": 2.0}


def test_the_plan_s_metrics_are_kept_before_others(tmp_path: Path) -> None:
    spec = "duration_s, role: primary, direction: decrease, minimum_effect: 15%"
    many = 'for i in $(seq 150); do echo "m$i=$i"; done > $EXPCI_METRICS'
    clone = lab(tmp_path, f"run: |\n  {many}\n  echo score=5 >> $EXPCI_METRICS")
    file = clone.root / "experiments/faster/experiment.yml"
    file.write_text(file.read_text().replace(spec, "score, role: primary, direction: increase"))
    clone.commit()
    clone.publish()
    for item in trial(clone)["trials"]:
        assert item["metrics"]["score"] == 5.0
        assert len(item["metrics"]) >= 99  # a short run may have no peak of memory


def test_a_tree_that_is_slow_to_put_up_is_told_of_the_shorter_way(tmp_path: Path) -> None:
    clone = lab(tmp_path)
    clone.write({".gitattributes": "slow.txt filter=slow\n", "slow.txt": "x\n"})
    clone.commit()
    clone.publish()
    run_git(clone.root, "config", "filter.slow.smudge", f"sleep {SLOW_S}; cat")
    result = trial(clone)
    assert values(result) == {"control": 1.0, "treatment": 2.0}
    assert [text for text in result["warnings"] if "--in-place" in text]
    shorter = trial(clone, "--in-place")
    assert values(shorter) == {"control": 1.0, "treatment": 2.0}
    assert not [text for text in shorter["warnings"] if "work trees took" in text]


def test_what_is_said_of_a_slow_set_up() -> None:
    assert slow_set_up(SLOW_S - 0.1) == []
    [text] = slow_set_up(14.2)
    assert "took 14 s" in text
