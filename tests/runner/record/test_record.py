"""`record` for work that expci does not run: stated, imported, late, waiting, all at once."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expci.core.model.trial import Amendment
from expci.core.model.trial_reader import parse_line
from expci.store.git import refs
from expci.store.git.git import Git
from support.clones import Clone, assert_untouched, make_clone, run_git
from support.processes import HANG_S


@pytest.fixture
def clone(tmp_path: Path) -> Clone:
    made = make_clone(tmp_path)
    made.publish()
    return made


def test_sixteen_at_once_from_one_clone_all_arrive(clone: Clone) -> None:
    before = clone.state()
    arguments = ("record", "faster", "--arm", "control", "--metric")
    running = [clone.popen(*arguments, f"duration_s={n}") for n in range(1, 17)]
    for process in running:
        _, errors = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, errors
    assert sorted(trial.metrics["duration_s"] for trial in clone.arrived()) == list(range(1, 17))
    assert list((clone.private / "spool").glob("*/*.*")) == []
    assert_untouched(before, clone)


def test_a_stated_trial(clone: Clone) -> None:
    done = clone.expci(
        *("record", "faster", "--arm", "treatment", "--status", "failure"),
        *("--metric", "duration_s=2.5", "--unit", "build-9"),
    )
    assert done.returncode == 0, done.stderr
    [trial] = clone.arrived()
    assert (trial.arm, trial.status, trial.unit) == ("treatment", "failed", "build-9")
    assert trial.metrics == {"duration_s": 2.5, "success": 0.0}
    assert trial.context["assignment"] == "stated"


def test_that_a_unit_took_part_is_a_record_where_it_is_stated(clone: Clone) -> None:
    """Its metrics are read from a database later."""
    told = ("record", "faster", "--arm", "control", "--unit", "u-1")
    assert clone.expci(*told).returncode == 2
    assert clone.expci(*told, "--status", "ok").returncode == 0
    [trial] = clone.arrived()
    assert (trial.unit, trial.status, trial.metrics) == ("u-1", "ok", {"success": 1.0})


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["faster"], 2, "name its arm"),
        (["faster", "--arm", "nobody", "--metric", "a=1"], 2, "the arms are control, treatment"),
        (["faster", "--arm", "control"], 2, "nothing to record"),
        (["faster", "--arm", "control", "--metric", "a"], 2, "name=value"),
        (["faster", "--arm", "control", "--metric", "a=nan"], 2, "must be finite"),
        (["faster", "--arm", "control", "--metric", "a=true"], 2, "must be a number"),
        (["faster", "--arm", "control", "--metric", "a=1", "--unit", "x\ny"], 2, "control char"),
        (["slower", "--arm", "control", "--metric", "a=1"], 1, "no running experiment 'slower'"),
        (["--trial", "0" * 26], 2, "at least one --metric"),
        (["--trial", "0" * 26, "--metric", "a=1"], 2, "name its experiment"),
        (["faster", "--trial", "nonsense", "--metric", "a=1"], 2, "trial must match"),
        (["faster", "--from", "absent.jsonl"], 1, "No such file"),
        ([], 2, "name the experiment"),
        (["faster", "--slot", "s"], 2, "omit the other arguments"),
    ],
)
def test_what_cannot_be_recorded_is_refused(
    clone: Clone, arguments: list[str], code: int, complaint: str
) -> None:
    done = clone.expci("record", *arguments)
    assert (done.returncode, complaint in done.stderr) == (code, True), done.stderr
    assert "Traceback" not in done.stderr
    assert clone.arrived() == []


def lines(*values: object) -> str:
    return "".join(json.dumps(value) + "\n" for value in values)


def test_importing_twice_counts_once(clone: Clone, tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    file.write_text(
        lines(
            {"arm": "control", "metrics": {"duration_s": 12.3}},
            {"arm": "treatment", "metrics": {"duration_s": 10, "success": 0}, "unit": "host-1"},
            {
                "arm": "treatment",
                "metrics": {"duration_s": 9},
                "started": "2026-11-23T10:00:00+01:00",
                "status": "timeout",
                "covariates": {"size": 3},
                "block": "b",
                "seq": 4,
                "order": 2,
                "attempt": 2,
            },
        )
    )
    assert clone.expci("record", "faster", "--from", str(file)).returncode == 0
    first = {trial.line() for trial in clone.arrived()}
    assert clone.expci("record", "faster", "--from", "-", input=file.read_text()).returncode == 0
    assert {trial.line() for trial in clone.arrived()} == first
    assert len(run_git(clone.origin, "for-each-ref", refs.INBOX).splitlines()) == 1
    by_started = sorted(clone.arrived(), key=lambda trial: trial.started)
    assert [trial.status for trial in by_started] == ["ok", "failed", "timeout"]
    assert by_started[0].started == "2026-11-22T10:00:00.001Z"  # the plan's start, in file order
    assert by_started[2].metrics == {"duration_s": 9.0, "success": 0.0}
    assert (by_started[2].order, by_started[2].covariates) == (2, {"size": 3.0})


def test_one_bad_line_imports_nothing_and_all_are_named(clone: Clone, tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    good = json.dumps({"arm": "control", "metrics": {"duration_s": 1}})
    bad = [
        "{not json",
        '{"arm":"nobody","metrics":{"a":1}}',
        '{"arm":"control","metrics":{"a":NaN}}',
        '{"arm":"control","metrics":{"a":true}}',
        '{"arm":"control"}',
        '{"arm":"control","metrics":{"a":1},"plan":"x"}',
        '{"arm":"control","metrics":{"a":1},"started":"yesterday"}',
        '{"arm":["control"],"metrics":{"a":1}}',
        '{"arm":"control","metrics":{"a":1},"status":["ok"]}',
        "[1]",
    ]
    file.write_text("\n".join([good, *bad, good]))
    done = clone.expci("record", "faster", "--from", str(file))
    assert done.returncode == 1
    assert "Traceback" not in done.stderr
    for number in range(2, 2 + len(bad)):
        assert f"line {number}: " in done.stderr
    assert "line 1:" not in done.stderr
    assert clone.arrived() == []


def test_a_large_import_goes_in_batches(clone: Clone, tmp_path: Path) -> None:
    file = tmp_path / "trials.jsonl"
    line = json.dumps({"arm": "control", "metrics": {"duration_s": 1.5}, "unit": "u" * 200})
    file.write_text((line + "\n") * 3000)
    assert clone.expci("record", "faster", "--from", str(file)).returncode == 0
    batches = run_git(clone.origin, "for-each-ref", refs.INBOX).splitlines()
    assert len(batches) == 3  # of 2.4 MB
    assert len({trial.id for trial in clone.arrived()}) == 3000


def test_a_late_metric(clone: Clone) -> None:
    assert clone.expci("trial", "faster", "--arm", "control").returncode == 0
    [trial] = clone.arrived()
    done = clone.expci("record", "--trial", trial.id, "--metric", "satisfaction=0.8")
    assert done.returncode == 0, done.stderr
    origin = Git(clone.origin)
    records = [
        parse_line(file.data)
        for commit in origin.refs(refs.INBOX).values()
        for file in origin.read_files(commit).values()
    ]
    [late] = [record for record in records if isinstance(record, Amendment)]
    assert (late.trial, late.experiment, late.metrics) == (
        trial.id,
        "faster",
        {"satisfaction": 0.8},
    )


def test_metrics_of_a_file_and_over_them_those_of_the_command_line(
    clone: Clone, tmp_path: Path
) -> None:
    (file := tmp_path / "out.json").write_text('{"duration_s": 12.5, "cost_usd": 0.4, "note": "x"}')
    stated = ("record", "faster", "--arm", "control", "--metrics", str(file))
    done = clone.expci(*stated, "--metric", "cost_usd=0.3")
    assert done.returncode == 0, done.stderr
    assert f"{file}: a metric is ignored: " in done.stderr
    [trial] = clone.arrived()
    assert trial.metrics == {"duration_s": 12.5, "cost_usd": 0.3, "success": 1.0}


@pytest.mark.parametrize(
    ("words", "code", "complaint"),
    [
        (("--arm", "control", "--metrics", "absent"), 1, "nothing was recorded: the metrics file"),
        (("--arm", "control", "--metrics", "empty"), 2, "empty holds no metric; a line of it"),
        (("--arm", "control", "--metrics", "junk"), 2, "nothing to record: junk: a metric is ig"),
        (("--from", "x", "--metrics", "empty"), 2, "leave out --metrics"),
        (("--trial", "0" * 26, "--metrics", "absent"), 1, "does not exist"),
        (("--trial", "0" * 26, "--metrics", "built_in"), 2, "nothing to record"),
    ],
)
def test_a_file_without_a_metric_is_refused(
    clone: Clone, words: tuple[str, ...], code: int, complaint: str
) -> None:
    (clone.root / "empty").touch()
    (clone.root / "junk").write_text("garbage line\n")
    (clone.root / "built_in").write_text("duration_s=1\n")
    done = clone.expci("record", "faster", *words)
    assert (done.returncode, complaint in done.stderr) == (code, True), done.stderr
    assert clone.arrived() == []


def test_damaged_spool_files_are_set_aside_and_the_others_go(clone: Clone) -> None:
    away = clone.origin.with_name("away")
    assert clone.expci("trial", "faster", "--arm", "control").returncode == 0
    clone.origin.rename(away)
    for number in (1, 2):
        clone.expci("record", "faster", "--arm", "control", "--metric", f"duration_s={number}")
    spooled = sorted((clone.private / "spool" / "faster").glob("*.jsonl"))
    assert len(spooled) == 2
    spooled[0].write_bytes(spooled[0].read_bytes()[:50])
    away.rename(clone.origin)
    done = clone.expci("record", "--flush")
    assert done.returncode == 1
    assert "cannot be sent" in done.stderr
    assert len(clone.arrived()) == 2
    assert len(list((clone.private / "spool-corrupt").iterdir())) == 1
    assert clone.expci("record", "--flush").returncode == 0


def test_flushes_at_the_same_time_are_harmless(clone: Clone) -> None:
    clone.expci("trial", "faster", "--arm", "control")
    away = clone.origin.with_name("away")
    clone.origin.rename(away)
    arguments = ("record", "faster", "--arm", "control", "--metric")
    for number in range(1, 6):
        clone.expci(*arguments, f"duration_s={number}")
    away.rename(clone.origin)
    running = [clone.popen("record", "--flush") for _ in range(6)]
    for process in running:
        _, errors = process.communicate(timeout=HANG_S)
        assert process.returncode == 0, errors
    assert len(clone.arrived()) == 6
    assert list((clone.private / "spool").glob("*/*.*")) == []


FORMATS = Path(__file__).parents[2] / "fixtures" / "formats"


def test_a_file_of_another_tool_gives_a_trial_for_each_run_and_counts_once(clone: Clone) -> None:
    arguments = ("record", "faster", "--arm", "treatment", "--format", "hyperfine", "--from")
    for _ in range(2):
        done = clone.expci(*arguments, str(FORMATS / "hyperfine.json"))
        assert done.returncode == 0, done.stderr
        assert "5 recorded" in done.stderr
    times = json.loads((FORMATS / "hyperfine.json").read_text())["results"][0]["times"]
    trials = {trial.id: trial for trial in clone.arrived()}
    assert sorted(trial.metrics["duration_s"] for trial in trials.values()) == sorted(times)
    assert {(t.arm, t.status, t.metrics["success"]) for t in trials.values()} == {
        ("treatment", "ok", 1.0)
    }


def test_files_of_equal_results_are_trials_of_their_own(clone: Clone, tmp_path: Path) -> None:
    for number in range(3):
        file = tmp_path / f"{number}.json"
        result = {"type": "result", "duration_ms": 2000, "session_id": str(number)}
        file.write_text(json.dumps(result))
        done = clone.expci(
            *("record", "faster", "--arm", "control", "--format", "claude", "--from", str(file))
        )
        assert done.returncode == 0, done.stderr
    assert len({trial.id for trial in clone.arrived()}) == 3


@pytest.mark.parametrize(
    ("arguments", "code", "complaint"),
    [
        (["--format", "claude", "--arm", "control"], 2, "--arm ARM and --from FILE"),
        (["--format", "claude", "--from", "claude.json"], 2, "--arm ARM and --from FILE"),
        (["--arm", "control", "--from", "claude.json"], 2, "needs --format"),
        (["--format", "jmh", "--arm", "control", "--from", "x"], 2, "hyperfine"),
        (
            ["--format", "junit", "--arm", "control", "--from", "claude.json"],
            1,
            "as a file of junit, it is not XML",
        ),
        (
            ["--format", "criterion", "--arm", "control", "--from", "criterion.json"],
            1,
            "the file gives norm_ns, and the plan measures none of them",
        ),
    ],
)
def test_a_file_of_another_tool_that_does_not_fit_is_refused(
    clone: Clone, arguments: list[str], code: int, complaint: str
) -> None:
    arguments = [str(FORMATS / a) if (FORMATS / a).is_file() else a for a in arguments]
    done = clone.expci("record", "faster", *arguments)
    assert (done.returncode, complaint in done.stderr) == (code, True), done.stderr
    assert clone.arrived() == []
