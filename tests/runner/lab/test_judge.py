"""A judge of a pair's outputs: real processes, real git, and what the judge can see of the arms."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from expci.core.model.judge import followed_position, preference
from support.clones import Clone, assert_untouched, make_clone

ARM = "wolverine"  # a word that nothing around a test has
# Both arms write what their tool says, and where they ran.
RUN = 'run: echo "$(sh tool.sh) $PWD" > "$EXPCI_OUTPUT"; echo cost_usd=0.5 > "$EXPCI_METRICS"\n'
METRICS = "metrics:\n  - {name: preference, role: primary}\n"


def judged(
    tmp_path: Path, judge: str, run: str = RUN, keys: str = "", cases: int = 0, arms: str = ""
) -> Clone:
    """A clone whose experiment asks `judge`, the text of judge.sh."""
    keys = f"{run}compare: ./judge.sh\n{keys}" + ("cases: evals/*\n" if cases else "")
    clone = make_clone(tmp_path, keys)
    spec = clone.root / "experiments/faster/experiment.yml"
    text = spec.read_text().replace("  treatment:\n", arms + f"  {ARM}:\n")
    spec.write_text(text[: text.index("metrics:")] + METRICS)
    clone.write({f"evals/case-{n}": f"task {n}" for n in range(cases)})
    clone.write({"judge.sh": "#!/bin/sh\n" + judge}, executable=True)
    clone.commit("judge")
    clone.publish(unit="case" if cases else "run")
    (tmp_path / "out").mkdir()
    clone.environment |= {"OUT": str(tmp_path / "out"), "EXPCI_RETRY_SECONDS": "0"}
    return clone


BETTER = 'grep -q ^treatment "$EXPCI_OUTPUT_A" && echo A || echo B'


def test_the_treatment_is_preferred_in_both_orders(tmp_path: Path) -> None:
    clone = judged(tmp_path, BETTER)
    before = clone.state()
    done = clone.expci("trial", "faster", "--pairs", "3")
    assert done.returncode == 0, done.stderr
    trials = clone.arrived()
    assert {(t.arm, t.metrics["preference"]) for t in trials} == {("control", 0.5), (ARM, 1.0)}
    assert {t.context.get("judge") for t in trials if t.arm == ARM} == {"B/A"}
    assert all(t.metrics["judge_duration_s"] > 0 for t in trials if t.arm == ARM)
    assert_untouched(before, clone)


def test_an_answer_that_follows_the_position_is_a_tie(tmp_path: Path) -> None:
    clone = judged(tmp_path, "echo A")
    done = clone.expci("trial", "faster", "--pairs", "2")
    assert done.returncode == 0, done.stderr
    trials = [t for t in clone.arrived() if t.arm == ARM]
    assert [t.metrics["preference"] for t in trials] == [0.5, 0.5]
    assert {t.context["judge"] for t in trials} == {"A/A"}


@pytest.mark.parametrize(
    ("answers", "value", "letter"),
    [
        ("B/A", 1.0, None),
        ("A/B", 0.0, None),
        ("A/A", 0.5, "A"),
        ("B/B", 0.5, "B"),
        ("tie/A", 0.5, None),
        ("tie/tie", 0.5, None),
        ("none", None, None),
    ],
)
def test_what_two_answers_say(answers: str, value: float | None, letter: str | None) -> None:
    assert (preference(answers), followed_position(answers)) == (value, letter)


# Everything that the judge can see of itself: environment, arguments, directory, files, times.
WITNESS = """\
{
  cat "/proc/$$/environ" | tr '\\0' '\\n'; tr '\\0' '\\n' < "/proc/$$/cmdline"; pwd -P
  find . .. -not -path '*/.git/*' -printf '%p\\n' -type f -exec cat {} +
  git log --all --format='%s %an'; git cat-file --batch-all-objects --batch --unordered
  ls -lAR --full-time "$EXPCI_OUTPUT_A" "$EXPCI_OUTPUT_B" | sed 's/[0-9]* //g'
  cat "/proc/$PPID/cmdline" | tr '\\0' '\\n'
} > "$OUT/seen.$(date +%s%N)" 2>&1
stat -c '%Y %n' "$EXPCI_OUTPUT_A" "$EXPCI_OUTPUT_B" >> "$OUT/times"
grep -q ^treatment "$EXPCI_OUTPUT_A" && echo A >> "$OUT/first" || echo B >> "$OUT/first"
echo tie
"""


@pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="reads /proc")
def test_a_judge_sees_no_arm_in_its_environment_paths_and_files(tmp_path: Path) -> None:
    # The output tells of its tool only: `control` of the sample's tool is a word of the work.
    clone = judged(tmp_path, WITNESS, cases=5)
    clone.environment |= {"EXPCI_ARM": ARM, "EXPCI_ARM_FASTER": ARM, "EXPCI_CONTEXT_ARM": ARM}
    done = clone.expci("trial", "faster", "--pairs", "8")
    assert done.returncode == 0, done.stderr
    records = sorted((tmp_path / "out").glob("seen.*"))
    assert len(records) == 16
    for record in records:
        text = record.read_text(errors="replace")
        assert "EXPCI_OUTPUT_A" in text  # the environment was read
        assert ARM not in text
        assert "EXPCI_ARM" not in text
        assert "faster" not in text  # nor the experiment's own files
    lines = (tmp_path / "out" / "times").read_text().split()
    assert set(lines[::2]) == {"0"}  # no file says which arm ran last
    # Whose output comes first is a coin's choice: 1 in 2^7 of such tests sees one order alone.
    order = (tmp_path / "out" / "first").read_text().split()
    assert sorted(order[:2]) == ["A", "B"]
    assert order.count("A") == order.count("B") == 8


def test_the_outputs_paths_name_no_arm_by_their_place(tmp_path: Path) -> None:
    """The work tree's path, which an output may hold, is not the same for control each time."""
    places = set()
    clone = judged(tmp_path, 'cat "$EXPCI_OUTPUT_A" "$EXPCI_OUTPUT_B" >> "$OUT/places"; echo tie')
    for _ in range(12):
        assert clone.expci("trial", "faster").returncode == 0
    for line in (tmp_path / "out" / "places").read_text().splitlines():
        tool, path = line.split()
        places.add((tool, Path(path).parent.name))
    assert places == {("control", "0"), ("control", "1"), ("treatment", "0"), ("treatment", "1")}


def test_a_directory_is_an_output_and_its_links_are_left_out(tmp_path: Path) -> None:
    run = (
        'run: mkdir "$EXPCI_OUTPUT" && sh tool.sh > "$EXPCI_OUTPUT/text" && '
        'ln -s "$PWD" "$EXPCI_OUTPUT/link"\n'
    )
    judge = 'ls "$EXPCI_OUTPUT_A" > "$OUT/names"; grep -q ^treatment "$EXPCI_OUTPUT_A/text" && '
    clone = judged(tmp_path, judge + "echo A || echo B", run)
    done = clone.expci("trial", "faster")
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "out" / "names").read_text() == "text\n"
    assert {t.metrics["preference"] for t in clone.arrived()} == {0.5, 1.0}


def test_no_output_of_another_run_is_in_the_way(tmp_path: Path) -> None:
    """Neither a warm-up's, nor where one arm runs alone, which nobody judges."""
    run = 'run: mkdir "$EXPCI_OUTPUT" && echo "treatment" > "$EXPCI_OUTPUT/answer"\n'
    clone = judged(tmp_path, "echo tie", run=run, keys="warmup: 1\n")
    done = clone.expci("trial", "faster", "--pairs", "2")
    assert (done.returncode, done.stderr.count(": ok in")) == (0, 4), done.stderr
    done = clone.expci("trial", "faster", "--arm", ARM, "--pairs", "2")
    assert (done.returncode, done.stderr.count(": ok in")) == (0, 2), done.stderr
    assert "did not report" not in done.stderr
    assert [t.metrics.get("preference") for t in clone.arrived() if t.block is None] == [None] * 2


def test_a_run_that_fails_loses_without_a_judge(tmp_path: Path) -> None:
    run = "run: sh tool.sh > $EXPCI_OUTPUT; grep -q control $EXPCI_OUTPUT\n"
    clone = judged(tmp_path, 'echo asked > "$OUT/asked"; echo A', run)
    clone.expci("trial", "faster")
    assert {(t.arm, t.status, t.metrics["preference"]) for t in clone.arrived()} == {
        ("control", "ok", 0.5),
        (ARM, "failed", 0.0),
    }
    assert not (tmp_path / "out" / "asked").exists()


@pytest.mark.parametrize(
    ("judge", "problem"),
    [
        ("echo 'both are fine'", "neither A, B nor tie"),
        ("echo A; exit 3", "failed, code 3"),
        ("sleep 60; echo A", "timeout"),
        ("printf 'A\\n'; rm -rf .git; echo C", "neither A, B nor tie"),
    ],
)
def test_a_judge_that_gives_no_answer_gives_no_preference(
    tmp_path: Path, judge: str, problem: str
) -> None:
    clone = judged(tmp_path, judge, keys="timeout: 3s\n")
    done = clone.expci("trial", "faster")
    assert problem in done.stderr
    trials = clone.arrived()
    assert [t.status for t in trials] == ["ok", "ok"]
    assert not any("preference" in t.metrics for t in trials)
    assert {t.context.get("judge") for t in trials if t.arm == ARM} == {"none"}


def test_a_judge_whose_infrastructure_fails_is_asked_again(tmp_path: Path) -> None:
    """Exit code 75 twice, then an answer: the pair counts, and its runs are not made again."""
    judge = 'echo x >> "$OUT/asked"; test $(wc -l < "$OUT/asked") -gt 2 || exit 75\n' + BETTER
    clone = judged(tmp_path, judge)
    done = clone.expci("trial", "faster")
    assert done.returncode == 0, done.stderr
    trials = clone.arrived()
    assert sorted((t.arm, t.metrics["preference"]) for t in trials) == [("control", 0.5), (ARM, 1)]
    assert len((tmp_path / "out" / "asked").read_text().split()) == 4


def test_a_judge_whose_infrastructure_goes_on_failing_ends_the_session(tmp_path: Path) -> None:
    judge = 'echo x >> "$OUT/asked"; echo "infra: rate limit" > "$EXPCI_STATUS"; echo A'
    budget = "budget: {metric: cost_usd, most: 9}\n"
    clone = judged(tmp_path, judge, keys=budget)
    done = clone.expci("trial", "faster", "--pairs", "3")
    trials = clone.arrived()
    assert len((tmp_path / "out" / "asked").read_text().split()) == 4
    assert [t.status for t in trials] == ["error", "error"]
    assert {t.context["infra"] for t in trials} == {"judge: rate limit"}
    assert all(t.metrics == {"cost_usd": 0.5} for t in trials)
    assert "nothing more is run" in done.stderr


def test_the_budget_counts_what_the_judge_costs(tmp_path: Path) -> None:
    """A pair costs 2 × 0.5 and two answers of 0.75: the second pair begins at 2.5, no third."""
    judge = 'echo cost_usd=0.75 > "$EXPCI_METRICS"\n' + BETTER
    clone = judged(tmp_path, judge, keys="budget: {metric: cost_usd, most: 3}\n")
    done = clone.expci("trial", "faster", "--pairs", "5")
    assert done.returncode == 0, done.stderr
    trials = clone.arrived()
    assert len(trials) == 4
    assert {t.metrics["judge_cost_usd"] for t in trials if t.arm == ARM} == {1.5}
    assert "$5 of the budget of $3" in done.stderr


def test_each_treatment_is_judged_against_control(tmp_path: Path) -> None:
    arms = "  other:\n    env: {MODE: other}\n"
    clone = judged(tmp_path, BETTER, arms=arms)
    done = clone.expci("trial", "faster")
    assert done.returncode == 0, done.stderr
    values = {t.arm: t.metrics["preference"] for t in clone.arrived()}
    # control's and the other arm's outputs are alike but for their place: B in both orders
    assert values == {"control": 0.5, "other": 0.5, ARM: 1.0}


def test_a_draft_s_pilot_is_judged(tmp_path: Path) -> None:
    clone = judged(tmp_path, BETTER)
    done = clone.expci("trial", "faster", "--pilot", "--pairs", "2")
    assert done.returncode == 0, done.stderr
    lines = (clone.private / "pilot" / "faster.jsonl").read_text().splitlines()
    values = [json.loads(line)["metrics"]["preference"] for line in lines]
    assert sorted(values) == [0.5, 0.5, 1.0, 1.0]
