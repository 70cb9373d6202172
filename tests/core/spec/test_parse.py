"""What a user writes, as an experiment or as all of its problems."""

import hashlib
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.content import SPEC_NAME, Blob, File
from expci.core.model.experiment import (
    Baseline,
    Budget,
    Experiment,
    Limit,
    Metric,
    from_json,
    to_json,
)
from expci.core.model.metric_names import direction_of, kind_of
from expci.core.spec.job_reader import read_plain
from expci.core.spec.parse import Reading, base_problems, read_experiment, slot_conflicts
from expci.core.spec.repository_defaults import Defaults, read_defaults
from expci.core.spec.schema import ExperimentFile
from expci.core.spec.variant_paths import patch_modes, patch_paths, path_refusal, varied_paths
from expci.core.spec.variants import live_paths
from support.properties import examples

DOCS = Path(__file__).parents[3] / "docs"

MINIMAL = """\
version: 1
hypothesis: It gets 15% faster within 14 days.
run: ./build.sh
arms:
  control: {}
  treatment: {files: treatment/}
metrics:
  - {name: duration_s, role: primary, minimum_effect: 15%}
"""
FULL = (
    MINIMAL
    + """\
prior: 0.7
timeout: 30m
share: [node_modules]
warmup: 1
plan: {alpha: 5%, sample_size: 60}
decision: {promote_at: 0.3}
"""
)
REPLACED = b"echo faster\n"


def file(data: bytes = REPLACED, mode: str = "100644") -> File:
    return File(mode, data)


def read(text: str, defaults: str = "", files: Mapping[str, File] | None = None) -> Reading:
    tree = {"treatment/build.sh": file(), SPEC_NAME: file(text.encode()), **(files or {})}
    return read_experiment("faster", text, tree, read_defaults(defaults))


def experiment(text: str, defaults: str = "") -> Experiment:
    reading = read(text, defaults)
    assert reading.problems == ()
    assert reading.experiment is not None
    return reading.experiment


def found(reading: Reading) -> list[tuple[int | None, str, str]]:
    assert (reading.experiment is None) == bool(reading.problems)
    return [(problem.line, problem.path, problem.message) for problem in reading.problems]


def with_metric(text: str) -> str:
    return MINIMAL + f"  - {{{text}}}\n"


# --- what is filled in -------------------------------------------------------------------


def test_every_default_of_a_minimal_file() -> None:
    made = experiment(MINIMAL)
    assert made.name == "faster"
    assert made.metrics == (
        Metric(
            "duration_s",
            "primary",
            "duration",
            "decrease",
            minimum_effect=Limit(0.15, True),
            max_regression=Limit(0.1, True),
        ),
        Metric("success", "guardrail", "proportion", "increase", max_regression=Limit(0.05, False)),
    )
    assert made.assignment.design == "paired"
    assert made.assignment.weights == {"control": 1.0, "treatment": 1.0}
    assert (made.plan.alpha, made.plan.power, made.plan.min_trials) == (0.05, 0.8, 20)
    assert (made.plan.sample_size, made.plan.max_days) == (None, 14.0)
    assert made.decision.promote_at == Limit(0.075, True)
    assert (made.timeout_s, made.warmup, made.decision.holdback) == (1800.0, 0, 0.5)


def test_an_experiment_survives_the_ledger() -> None:
    made = experiment(MINIMAL)
    assert from_json(json.loads(json.dumps(to_json(made)))) == made


@pytest.mark.parametrize(
    ("line", "check"),
    [
        ("plan: {sample_size: 12}", lambda e: e.plan.min_trials == 12),
        ("plan: {sample_size: 30}", lambda e: e.plan.min_trials == 20),
        ("risk: high", lambda e: e.plan.alpha == 0.01),
        ("risk: high\nplan: {alpha: 0.02}", lambda e: e.plan.alpha == 0.02),
        ("timeout: 1h30m", lambda e: e.timeout_s == 5400.0),
        ("assignment: {traffic: 50%, design: blocked, weights: {treatment: 3}}",
         lambda e: e.assignment.traffic == 0.5
         and e.assignment.weights == {"control": 1.0, "treatment": 3.0}),
        ("prior: 70%", lambda e: e.prior == 0.7),
        ("rate: 50/month", lambda e: e.rate == 50.0),
        ("rate: 7 / week", lambda e: e.rate == pytest.approx(7 * 365.25 / 12 / 7)),
        ("rate: 1.5/day", lambda e: e.rate == pytest.approx(1.5 * 365.25 / 12)),
        ("decision: {promote_at: 0.3, holdback: 0.2}",
         lambda e: e.decision.promote_at == Limit(0.3, False) and e.decision.holdback == 0.2),
        ("slot: review", lambda e: e.slot == "review" and e.assignment.design == "paired"),
        ("name: |\n  A title\n", lambda e: e.name == "A title"),
    ],
)  # fmt: skip
def test_values_and_derivations(line: str, check: Any) -> None:
    assert check(experiment(MINIMAL + line + "\n"))


def test_without_a_command_the_design_is_blocked() -> None:
    made = experiment(MINIMAL.replace("run: ./build.sh", "slot: build"))
    assert made.assignment.design == "blocked"


def test_control_comes_first_and_may_be_empty() -> None:
    text = MINIMAL.replace(
        "  control: {}\n  treatment: {files: treatment/}\n",
        "  treatment: {files: treatment/}\n  control:\n",
    )
    assert [arm.name for arm in experiment(text).arms] == ["control", "treatment"]


def test_limits_of_a_proportion_are_points() -> None:
    made = experiment(
        with_metric(
            "name: pass, kind: proportion, direction: increase, role: guardrail, max_regression: 3%"
        )
    )
    assert made.metrics[1].max_regression == Limit(0.03, False)
    primary = experiment(
        MINIMAL.replace(
            "{name: duration_s, role: primary, minimum_effect: 15%}",
            "{name: success, role: primary}",
        )
    )
    assert primary.primary.minimum_effect == Limit(0.05, False)
    assert primary.decision.promote_at == Limit(0.025, False)
    assert [metric.name for metric in primary.metrics] == ["success"]


def test_a_stated_baseline() -> None:
    made = experiment(
        with_metric("name: ok, kind: proportion, direction: increase, baseline: {mean: 0.8}")
    )
    baseline = made.metrics[1].baseline
    assert baseline is not None
    assert baseline.mean == 0.8
    assert baseline.sd == pytest.approx(0.4)  # sqrt(.8 × .2)


@pytest.mark.parametrize(
    ("name", "kind", "direction"),
    [
        ("duration_s", "duration", "decrease"),
        ("wait_ms", "duration", "decrease"),
        ("time_to_merge", "duration", "decrease"),
        ("success", "proportion", "increase"),
        ("max_rss_mb", "mean", "decrease"),
        ("binary_size", "mean", "decrease"),
        ("cost_usd", "mean", "decrease"),
        ("cost_per_run", "mean", "decrease"),
        ("error_count", "mean", "decrease"),
        ("errors", "mean", "decrease"),
        ("satisfaction", "mean", None),
        ("coverage", "mean", None),
        # a wrong guess would promote the worse arm
        ("requests_per_s", "mean", None),
        ("mb_per_s", "mean", None),
        ("throughput_mb", "mean", None),
        ("errors_found", "mean", None),
        ("time_saved_s", "duration", None),
        ("cost_savings", "mean", None),
    ],
)
def test_what_a_name_says(name: str, kind: str, direction: str | None) -> None:
    assert (kind_of(name), direction_of(name)) == (kind, direction)


# --- the repository's defaults -----------------------------------------------------------

DEFAULTS = """\
version: 1
timeout: 5m
owner: team
plan:
  alpha: 0.1
  max_days: 30
decision: {watch_days: 3}
assignment: {unit: pr}
"""


def test_defaults_lie_below_the_file_and_origins_say_so() -> None:
    text = MINIMAL + "plan: {max_days: 10}\n"
    reading = read(text, DEFAULTS)
    made = reading.experiment
    assert made is not None
    assert (made.timeout_s, made.plan.alpha, made.plan.max_days) == (300.0, 0.1, 10.0)
    assert (made.decision.watch_days, made.assignment.unit, made.owner) == (3.0, "pr", "team")
    origins = reading.origins
    assert origins["plan.max_days"] == "experiments/faster/experiment.yml:9"
    assert origins["plan.alpha"] == "experiments/expci.yml:5"
    assert origins["assignment.unit"] == "experiments/expci.yml:8"
    assert origins["plan.power"] == "default"
    assert origins["metrics[0].direction"] == "derived from the name duration_s"
    assert origins["decision.promote_at"] == "derived: half of minimum_effect"


def test_high_risk_is_stronger_than_the_repository() -> None:
    assert experiment(MINIMAL + "risk: high\n", DEFAULTS).plan.alpha == 0.01
    assert experiment(MINIMAL, "risk: high\nplan: {alpha: 0.001}").plan.alpha == 0.001


@pytest.mark.parametrize("text", ["", "# only a comment\n\n"])
def test_no_defaults(text: str) -> None:
    assert read_defaults(text) == Defaults()


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("run: ./evil.sh", "run", "unknown key"),
        ("arms: {}", "arms", "unknown key"),
        ("assignment: {weights: {control: 1}}", "assignment.weights", "unknown key"),
        ("ledger: refs/heads/main", "ledger", "cannot be the ledger"),
        ("ledger: refs/expci/../x", "ledger", "cannot be the ledger"),
        ("ledger: refs/expci/inbox", "ledger", "cannot be the ledger"),
        ("roots: [../elsewhere]", "roots[0]", "leaves the repository"),
        ("roots: [.git/x]", "roots[0]", "under .git"),
        ("roots: [a, a/]", "roots", "twice"),
        ("remote: --upload-pack=x", "remote", "not a valid remote name"),
        ("mirror_branch: yes", "mirror_branch", "boolean"),
        ("timeout: 5", "timeout", "no unit"),
    ],
)
def test_bad_defaults_are_problems_of_every_experiment(text: str, path: str, words: str) -> None:
    reading = read(MINIMAL, text)
    [problem] = reading.problems
    assert (problem.file, problem.line, problem.path) == ("experiments/expci.yml", 1, path)
    assert words in problem.message
    assert read_defaults(text).ledger == "refs/expci/ledger"


# --- refusals ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line", "path", "words"),
    [
        ("version: 1\n", "", 1, "version", "is missing"),
        ("version: 1", "version: 2", 1, "version", "must be 1"),
        ("version: 1", "version: true", 1, "version", "not true"),
        ("run:", "rnu:", 3, "rnu", "unknown key"),
        ("run: ./build.sh", "run: 5", 3, "run", "must be text, not 5"),
        ("run: ./build.sh", "run: true", 3, "run", "must be text, not true"),
        ("run: ./build.sh", 'run: "a\\0b"', 3, "run", "invisible character U+0000"),
        ("run: ./build.sh", "run: a \u202eb", 3, "run", "invisible character U+202E"),
        ("run: ./build.sh", "run:", 3, "run", "has no value"),
        ("hypothesis: It", "hypothesis: ''\nx: It", 2, "hypothesis", "is empty"),
        ("hypothesis: It", "hypothesis: [It]\nx: It", 2, "hypothesis", "must be text"),
        ("  control: {}\n", "", 4, "arms", "no control"),
        ("  control: {}", "  control: {env: {A: b}}", 5, "arms.control.env", "must change nothing"),
        ("  treatment: {files: treatment/}\n", "", 4, "arms", "no treatment"),
        ("  treatment: {files", "  excluded: {files", 6, "arms.excluded", "a word of the reports"),
        ("{files: treatment/}", "{}", 6, "arms.treatment", "changes nothing"),
        ("{files: treatment/}", "{env: {A: b}}", 6, "arms.treatment", "a win would ship nothing"),
        ("{files: treatment/}", "{env: {A: 1}, files: treatment/}", 6, "arms.treatment.env.A",
         "must be text, not 1"),
        ("{files: treatment/}", "{env: {EXPCI_ARM: b}, files: treatment}", 6,
         "arms.treatment.env.EXPCI_ARM", "sets itself"),
        ("{files: treatment/}", "{env: {A-B: b}, files: treatment}", 6, "arms.treatment.env.A-B",
         "not a valid variable name"),
        ("{files: treatment/}", "{file: treatment/, env: {A: b}}", 6, "arms.treatment.file",
         "unknown key"),
        ("{files: treatment/}", "{files: nowhere/}", 6, "arms.treatment.files", "missing or empty"),
        ("{files: treatment/}", "{files: ../treatment}", 6, "arms.treatment.files", "leaves"),
        ("{files: treatment/}", "{files: /etc}", 6, "arms.treatment.files", "leaves"),
        ("{files: treatment/}", "{files: .}", 6, "arms.treatment.files", "experiment itself"),
        ("{files: treatment/}", "{patch: a.patch}", 6, "arms.treatment.patch", "no file 'a.patch'"),
        ("{files: treatment/}", "{delete: [/etc/x]}", 6, "arms.treatment.delete[0]", "absolute"),
        ("{files: treatment/}", "{delete: [a, ../b]}", 6, "arms.treatment.delete[1]", "leaves"),
        ("{files: treatment/}", "{delete: [.GIT/x]}", 6, "arms.treatment.delete[0]", "under .git"),
        ("{files: treatment/}", "{delete: [.github/workflows/ci.yml]}", 6,
         "arms.treatment.delete[0]", "is a workflow"),
        ("{files: treatment/}", "{delete: [experiments/faster/notes.md]}", 6,
         "arms.treatment.delete[0]", "belongs to this experiment"),
        ("{files: treatment/}", "{delete: [build.sh], files: treatment}", 6,
         "arms.treatment.delete", "both deleted and overlaid"),
        ("{files: treatment/}", "{files: treatment/, delete: [BUILD.sh]}", 6, "arms.treatment",
         "only by case or Unicode form"),
        ("{files: treatment/}", "{delete: [a/caf\u00e9, a/cafe\u0301]}", 6, "arms.treatment",
         "only by case or Unicode form"),
        ("{files: treatment/}", "[files, treatment]", 6, "arms.treatment", "must be a mapping"),
        ("role: primary", "role: secondary", 7, "metrics", "no primary"),
        ("role: primary", "role: first", 8, "metrics[0].role", "must be primary, guardrail"),
        ("name: duration_s", "name: score", 8, "metrics[0].direction", "'score' does not tell"),
        ("name: duration_s", "nmae: duration_s", 8, "metrics[0].nmae", "unknown key"),
        ("name: duration_s", "name: a b", 8, "metrics[0].name", "not a valid metric name"),
        ("15%}", "-15%}", 8, "metrics[0].minimum_effect", "not an effect size"),
        ("15%}", "0}", 8, "metrics[0].minimum_effect", "more than zero"),
        ("15%}", "100%}", 8, "metrics[0].minimum_effect", "nothing falls by 100%"),
        ("15%}", "true}", 8, "metrics[0].minimum_effect", "must be a number, not true"),
        ("15%}", ".nan}", 8, "metrics[0].minimum_effect", "not a number that can be used"),
        ("15%}", "15%, kind: mean, quantile: 0.9}", 8, "metrics[0].quantile", "no meaning"),
        ("15%}", "15%, kind: quantile}", 8, "metrics[0].quantile", "is missing"),
        ("15%}", "15%, kind: ratio}", 8, "metrics[0].denominator", "is missing"),
        ("15%}", "15%, kind: mean, denominator: x}", 8, "metrics[0].denominator", "no meaning"),
        ("15%}", "15%, denominator: duration_s}", 8, "metrics[0].denominator", "metric itself"),
        ("15%}", "15%, kind: rank, winsorize: 0.9}", 8, "metrics[0].winsorize", "no meaning"),
        ("15%}", "15%, winsorize: 0.4}", 8, "metrics[0].winsorize", "more than 0.5"),
        ("15%}", "15%, kind: rank, adjust_by: [x]}", 8, "metrics[0].adjust_by", "no meaning"),
        ("15%}", "15%, adjust_by: [x, x]}", 8, "metrics[0].adjust_by", "twice"),
        ("15%}", "15%, adjust_by: [duration_s]}", 8, "metrics[0].adjust_by", "metric itself"),
        ("15%}", "15%, non_inferior: true}", 8, "metrics[0].non_inferior", "for a primary metric"),
        ("15%}", "15%, baseline: {mean: 3}}", 8, "metrics[0].baseline.sd", "is missing"),
        ("15%}", "15%, baseline: {mean: 0, sd: 1}}", 8, "metrics[0].baseline.mean", "than zero"),
        ("15%}", "15%, kind: count, baseline: {mean: -1, sd: 1}}", 8, "metrics[0].baseline.mean",
         "never negative"),
        ("15%}", "15%, kind: count, baseline: {mean: 1.0e+300, sd: 1}}", 8,
         "metrics[0].baseline.mean", "over 2^53"),
        ("15%}", "15%, kind: count, adjust_by: [x]}", 8, "metrics[0].adjust_by", "no meaning"),
        ("15%}", "15%, baseline: {mean: true, sd: 1}}", 8, "metrics[0].baseline.mean", "not true"),
        ("metrics:\n", "metrics: []\nx:\n", 7, "metrics", "are none"),
    ],
)  # fmt: skip
def test_refusals_with_line_and_key(old: str, new: str, line: int, path: str, words: str) -> None:
    assert old in MINIMAL
    problems = found(read(MINIMAL.replace(old, new)))
    assert any(
        (number, key) == (line, path) and words in message for number, key, message in problems
    ), problems


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("prior: 1.5", "prior", "from 0 to 1"),
        ("rate: 50", "rate", "is not a rate"),
        ("rate: 0/day", "rate", "is not a possible rate"),
        ("rate: 5/year", "rate", "is not a rate"),
        ("prior: .inf", "prior", "not a number"),
        ("issue: abc", "issue", "must be a number"),
        ("tags: review", "tags", "must be a list"),
        ("tags: [1]", "tags[0]", "must be text"),
        ("risk: low", "risk", "must be normal or high"),
        ("slot: a b", "slot", "not a valid slot name"),
        ("warmup: -1", "warmup", "at least 0"),
        ("warmup: 1.5", "warmup", "whole number"),
        ("timeout: 30", "timeout", "has no unit"),
        ("timeout: 0s", "timeout", "more than zero"),
        ("share: [../x]", "share[0]", "leaves"),
        ("alpha: 0.05", "alpha", "unknown key here"),
        ("plan: {alpha: 0.5}", "plan.alpha", "less than 0.5"),
        ("plan: {alpha: 1e-3}", "plan.alpha", "not the text '1e-3'"),
        ("plan: {alpha: true}", "plan.alpha", "not true"),
        ("plan: {power: 0}", "plan.power", "more than 0"),
        ("plan: {max_days: 2026-01-01}", "plan.max_days", "is a date"),
        ("plan: {max_days: .inf}", "plan.max_days", "not a number"),
        ("plan: {sample_size: 10, min_trials: 20}", "plan.min_trials", "sample_size is 10"),
        ("plan: {looks: 3}", "plan.looks", "no meaning for inference auto"),
        ("plan: {spending: pocock}", "plan.spending", "no meaning"),
        ("plan: {futility: true}", "plan.futility", "no meaning"),
        ("plan: {inference: group-sequential, rho: 2}", "plan.rho", "spending obrien-fleming"),
        ("plan: {inference: group-sequential, looks: 0}", "plan.looks", "at least 1"),
        (
            "plan: {inference: group-sequential, spending: haybittle}",
            "plan.spending",
            "must be obrien-fleming, pocock or power",
        ),
        ("plan: {inference: bayes}", "plan.inference", "must be anytime"),
        ("assignment: {traffic: 120%}", "assignment.traffic", "at most 1"),
        ("assignment: {traffic: 0%}", "assignment.traffic", "more than 0"),
        (
            "assignment: {weights: {control: 0}, design: blocked}",
            "assignment.weights.control",
            "more than 0",
        ),
        (
            "assignment: {weights: {control: -1}, design: blocked}",
            "assignment.weights.control",
            "more than 0",
        ),
        ("assignment: {weights: {control: .nan}}", "assignment.weights.control", "not a number"),
        ("assignment: {weights: {contrl: 1}}", "assignment.weights.contrl", "is no arm"),
        ("assignment: {weights: {control: 2}}", "assignment.weights", "no effect on pairs"),
        ("decision: {promote: yes}", "decision.promote", "is a boolean"),
        ("decision: {promote: always}", "decision.promote", "must be pr, merge or never"),
        ("decision: {holdback: 100%}", "decision.holdback", "less than 1"),
        ("roots: [a]", "roots", "unknown key here"),
        ("version: 1", "version", "stands twice (first on line 1)"),
    ],
)
def test_refusals_of_further_keys(text: str, path: str, words: str) -> None:
    problems = found(read(MINIMAL + text + "\n"))
    assert any((line, key) == (9, path) and words in message for line, key, message in problems), (
        problems
    )


@pytest.mark.parametrize(
    ("text", "path", "words"),
    [
        ("name: success, role: secondary", "metrics[1].role", "guardrail of every experiment"),
        ("name: success, direction: decrease", "metrics[1].direction", "always increase"),
        ("name: duration_s", "metrics[1].name", "stands twice"),
        ("name: cost, role: primary", "metrics[1].role", "second primary"),
        ("name: p, kind: proportion, direction: increase, max_regression: 5",
         "metrics[1].max_regression", "more than a proportion can change"),
        ("name: p, direction: increase, role: guardrail, max_regression: -0.1",
         "metrics[1].max_regression", "must not be negative"),
        ("name: p, direction: increase, alert_below: true", "metrics[1].alert_below", "not true"),
        ("name: p, direction: up", "metrics[1].direction", "must be increase or decrease"),
    ],
)  # fmt: skip
def test_refusals_of_metrics(text: str, path: str, words: str) -> None:
    problems = found(read(with_metric(text)))
    assert any((line, key) == (9, path) and words in message for line, key, message in problems), (
        problems
    )


def test_all_problems_of_all_kinds_come_at_once_in_order_of_lines() -> None:
    text = """\
version: 1
name: On
hypothesis: It gets faster.
onwer: x
slot: a b
plan: {alpha: 2}
arms:
  control: {}
  treatment: {files: nowhere/}
  empty: {}
metrics:
  - {name: duration_s, role: primry}
  - {name: satisfaction}
"""
    reading = read(text)
    assert [(line, path) for line, path, _ in found(reading)] == [
        (2, "name"),
        (4, "onwer"),
        (5, "slot"),
        (6, "plan.alpha"),
        (9, "arms.treatment.files"),
        (10, "arms.empty"),
        (12, "metrics[0].role"),
        (13, "metrics[1].direction"),
    ]
    assert str(reading.problems[1]) == (
        "experiments/faster/experiment.yml:4: onwer: is an unknown key — did you mean `owner`?"
    )


def test_an_id_that_is_no_id() -> None:
    reading = read_experiment("Bad_Id", MINIMAL, {"treatment/a": file()}, Defaults())
    assert ["experiment id" in problem.message for problem in reading.problems] == [True]


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
    problems = found(read(MINIMAL, files={name: item}))
    assert any(line == 6 and words in message for line, _, message in problems), problems


def test_a_linked_variant_directory_is_refused() -> None:
    tree = {SPEC_NAME: file(), "treatment": file(b"../../secrets", "120000")}
    reading = read_experiment("faster", MINIMAL, tree, Defaults())
    assert any("is a symlink" in problem.message for problem in reading.problems)


def test_variants_over_25_megabytes_are_refused() -> None:
    problems = found(read(MINIMAL, files={"treatment/big": file(b"x" * 25_000_001)}))
    assert ["more than 25 MB" in message for _, _, message in problems] == [True]


# --- patches -----------------------------------------------------------------------------

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
    problems = found(read(PATCHED, files={"t.patch": file(patch)}))
    assert any(line == 6 and words in message for line, _, message in problems), problems


def test_a_good_patch_and_what_it_varies() -> None:
    reading = read(PATCHED, files={"t.patch": file(PATCH)})
    assert reading.experiment is not None
    assert varied_paths(reading.experiment, {"t.patch": file(PATCH)})["treatment"] == patch_paths(
        PATCH
    )


# --- the two readers ---------------------------------------------------------------------


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        ("run: ./build.sh", 'run: "./build\n  .sh"', 3),
        ("run: ./build.sh", "run: ./build.sh\n  --fast", 4),
        ("run: ./build.sh", '"run": ./build.sh', 3),
        ("run: ./build.sh", "run: |2\n    ./build.sh", 3),
        # a text that reaches column 0 hides another command from one of the two readers
        ("hypothesis: It gets", 'hypothesis: "\nrun: ./evil.sh #"\nx: It gets', 3),
    ],
)
def test_a_command_that_a_trial_would_read_differently_is_refused(
    old: str, new: str, line: int
) -> None:
    reading = read(MINIMAL.replace(old, new))
    assert reading.experiment is None
    assert any(problem.line in (line, line + 1) for problem in reading.problems), reading.problems
    assert any(
        "trial job" in problem.message or "twice" in problem.message for problem in reading.problems
    ), reading.problems


# --- against the base, and against one another --------------------------------------------

SAME = Blob("100644", "")


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


def test_two_experiments_in_one_slot_must_not_vary_the_same_file() -> None:
    text = MINIMAL.replace("run: ./build.sh", "slot: build")
    tree = {"treatment/build.sh": file()}
    first, second, other = (
        read_experiment(
            id, text.replace("slot: build", f"slot: {slot}"), tree, Defaults()
        ).experiment
        for id, slot in (("first", "build"), ("second", "build"), ("other", "review"))
    )
    assert first is not None
    assert second is not None
    assert other is not None
    paths = live_paths(first, tree)
    assert paths == ("build.sh",)
    [problem] = slot_conflicts([(first, paths), (second, ["BUILD.sh"]), (other, paths)])
    assert problem.file == "experiments/second/experiment.yml"
    assert "first" in problem.message
    assert slot_conflicts([(first, paths), (second, ["README.md"])]) == ()


# --- the documentation -----------------------------------------------------


def test_the_examples_of_the_documentation_are_valid() -> None:
    blocks = [
        part.split("```")[0] for part in (DOCS / "experiment.md").read_text().split("```yaml\n")[1:]
    ]
    full, cases, judged, defaults = blocks
    assert read(MINIMAL.replace("run: ./build.sh\n", cases)).problems == ()
    head = MINIMAL[: MINIMAL.index("metrics:")].replace("run: ./build.sh\n", "")
    assert read(head + judged).problems == ()
    tree = {"treatment/commands/review.md": file(), SPEC_NAME: file(full.encode())}
    assert read_experiment("parallel-review", full, tree, Defaults()).problems == ()
    assert read_defaults(defaults).problems == ()


# --- no input makes it raise --------------------------------------------------------------

WORDS = st.one_of(
    st.sampled_from(["control", "treatment", "name", "files", "env", "delete", "15%", "-1", "0"]),
    st.sampled_from(["duration_s", "primary", ".nan", "1e400", "[]", "{}", "", "\u202e", "a: b"]),
    st.sampled_from(["true", "x/../y", "2026-01-01"]),
)
ANY = st.recursive(
    WORDS | st.integers() | st.floats() | st.none() | st.booleans(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(WORDS, inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.slow
@examples(300)
@given(
    st.sampled_from(list(ExperimentFile.model_fields)),
    ANY,
    st.sampled_from(["plan", "metrics", "x"]),
)
def test_any_value_of_any_key_is_read_or_refused(key: str, value: Any, dropped: str) -> None:
    data = {**yaml.safe_load(FULL), key: value}
    data.pop(dropped, None)
    text = yaml.safe_dump(data, allow_unicode=True)
    reading = read(text)
    assert (reading.experiment is None) == bool(reading.problems)
    for problem in reading.problems:
        assert str(problem).isprintable()
        assert problem.fix
    if reading.experiment is not None:
        assert from_json(json.loads(json.dumps(to_json(reading.experiment)))) == reading.experiment


@examples(300)
@given(st.text(alphabet="./ab\\.gitGIT~1:\u200c\u0301é\x00 ", min_size=0, max_size=20))
def test_an_allowed_path_stays_inside(path: str) -> None:
    if path_refusal(path) is None:
        assert Path("/r", path).resolve().is_relative_to("/r")
        assert path == str(Path(path))
        assert not {".git", "git~1"} & {part.lower().rstrip(". ") for part in path.split("/")}


def test_the_keys_of_methods_are_kept_and_survive_the_ledger() -> None:
    text = MINIMAL.replace("15%}", "15%, denominator: items, winsorize: 99%}")
    text += (
        "plan: {inference: group-sequential, looks: 4, spending: power, rho: 2, futility: true}\n"
    )
    experiment = read(text).experiment
    assert experiment is not None
    assert experiment.primary.kind == "ratio"
    assert (experiment.primary.denominator, experiment.primary.winsorize) == ("items", 0.99)
    plan = experiment.plan
    assert (plan.looks, plan.spending, plan.rho, plan.futility) == (4, "power", 2.0, True)
    adjusted = read(MINIMAL.replace("15%}", "15%, adjust_by: [size, cpu]}")).experiment
    assert adjusted is not None
    assert adjusted.primary.adjust_by == ("size", "cpu")
    for found in (experiment, adjusted):
        assert from_json(json.loads(json.dumps(to_json(found)))) == found
    old = to_json(experiment)  # a plan that was frozen before these keys existed
    for key in ("looks", "spending", "rho", "futility"):
        del old["plan"][key]
    for metric in old["metrics"]:
        for key in ("denominator", "winsorize", "adjust_by"):
            del metric[key]
    assert from_json(old).plan.looks == 5


def test_whether_forks_count_is_said_in_the_plan_and_nowhere_else() -> None:
    assert experiment(MINIMAL).plan.count_forks is False
    own = MINIMAL + "plan: {count_forks: true}\n"
    assert experiment(own).plan.count_forks is True
    assert read_plain(own).arms == read_plain(MINIMAL).arms
    origins = read(own).origins
    assert origins["plan.count_forks"].startswith("experiments/faster/experiment.yml:")
    assert read(MINIMAL).origins["plan.count_forks"] == "default"
    usual = "version: 1\nplan: {count_forks: true}\n"
    assert experiment(MINIMAL, usual).plan.count_forks is True
    assert experiment(MINIMAL + "plan: {count_forks: false}\n", usual).plan.count_forks is False
    [problem] = read(MINIMAL + "plan: {count_forks: 1}\n").problems
    assert problem.path == "plan.count_forks"
    old = to_json(experiment(MINIMAL))  # a plan that was frozen before the key existed
    del old["plan"]["count_forks"]
    assert from_json(old).plan.count_forks is False


def test_a_budget_is_read_alike_and_survives_the_ledger() -> None:
    text = MINIMAL + "budget: {metric: cost_usd, most: 20}\n"
    read_budget = experiment(text).budget
    assert read_budget == Budget("cost_usd", 20.0)
    assert read_plain(text).budget == read_budget
    assert from_json(json.loads(json.dumps(to_json(experiment(text))))) == experiment(text)
    older = to_json(experiment(MINIMAL))
    del older["budget"]
    assert from_json(older) == experiment(MINIMAL)
    assert read(text).origins["budget.most"].endswith("experiment.yml:9")


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        ("budget: {metric: cost_usd}", "budget.most", "is missing"),
        ("budget: {metric: cost_usd, most: 0}", "budget.most", "must be more than 0"),
        (
            "budget: {metric: cost usd, most: 2}",
            "budget.metric",
            "'cost usd' is not a valid metric name",
        ),
        ("budget: {metrik: cost_usd, most: 2}", "budget.metrik", "is an unknown key"),
        ("budget: 20", "budget", "must be a mapping of keys"),
    ],
)
def test_a_budget_that_cannot_be_kept_is_refused(text: str, path: str, message: str) -> None:
    assert (9, path, message) in found(read(MINIMAL + text + "\n"))


def test_a_budget_without_lab_trials_is_refused() -> None:
    text = MINIMAL.replace("run: ./build.sh", "slot: build") + "budget: {metric: c, most: 2}\n"
    [problem] = read(text).problems
    assert problem.path == "budget"
    assert "limits lab trials" in problem.message


# --- cases -------------------------------------------------------------------------------

CASES = MINIMAL + "cases: evals/*\n"


def test_with_cases_the_case_is_the_unit_and_runs_are_isolated() -> None:
    result = experiment(CASES + "must_pass: [log in]\nrepeats: 3\n")
    assert result.cases is not None
    assert result.cases.path == "evals/*"
    assert result.assignment.unit == "case"
    assert (result.must_pass, result.repeats, result.isolate) == (("log in",), 3, True)
    origins = read(CASES).origins
    assert origins["assignment.unit"] == origins["isolate"] == "derived: cases:"
    assert not experiment(MINIMAL).isolate
    assert from_json(json.loads(json.dumps(to_json(result)))) == result


JUDGED = (
    MINIMAL[: MINIMAL.index("metrics:")]
    + "compare: ./judge.sh\nmetrics:\n  - {name: preference, role: primary}\n"
)


def test_a_judge_gives_a_preference_in_points_above_one_half() -> None:
    result = experiment(JUDGED)
    primary = result.primary
    assert (result.compare, primary.kind, primary.direction) == (
        "./judge.sh",
        "preference",
        "increase",
    )
    assert (primary.baseline, primary.minimum_effect) == (Baseline(0.5, 0.5), Limit(0.15, False))
    assert read(JUDGED).origins["metrics[0].baseline"] == "derived from kind preference"
    data = to_json(result)
    assert from_json(data) == result
    del data["compare"]
    assert from_json(data) == replace(result, compare=None)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (MINIMAL + "compare: ./judge.sh\n", "compare", "gives the metric preference"),
        (JUDGED.replace("run:", "slot: a #"), "compare", "no `run` makes any"),
        (JUDGED + "assignment: {design: blocked}\n", "assignment.design", "has no pairs"),
        (
            JUDGED.replace("role: primary", "role: primary, direction: decrease"),
            "metrics[0].direction",
            "more of a preference is better",
        ),
        (
            JUDGED.replace("role: primary", "role: primary, kind: proportion"),
            "metrics[0].kind",
            "is proportion",
        ),
        (
            JUDGED.replace("role: primary", "role: primary, baseline: {mean: 0.6, sd: 0.4}"),
            "metrics[0].baseline.mean",
            "control stands for one half",
        ),
        (
            JUDGED.replace("compare: ./judge.sh\n", "") + "assignment: {design: blocked}\n",
            "metrics[0].kind",
            "preference is of pairs",
        ),
    ],
)
def test_keys_about_a_judge_that_make_no_sense(text: str, path: str, message: str) -> None:
    problems = found(read(text))
    assert [where for _, where, words in problems if message in words] == [path], problems


def test_a_plan_frozen_before_there_were_cases_reads_as_one_without() -> None:
    data = to_json(experiment(MINIMAL))
    for key in ("cases", "must_pass", "repeats", "isolate"):
        del data[key]
    assert from_json(data) == experiment(MINIMAL)


@pytest.mark.parametrize(
    ("text", "path", "message"),
    [
        (CASES + "slot: review\n", "cases", "are for the lab; real jobs have work of their own"),
        (
            CASES + "assignment: {unit: run}\n",
            "assignment.unit",
            "is run, but every case is a unit",
        ),
        (CASES + "assignment: {design: blocked}\n", "assignment.design", "cases are run in pairs"),
        (
            CASES + "plan: {inference: fixed, sample_size: 20}\n",
            "plan.inference",
            "plans its looks by new units",
        ),
        (CASES + "must_pass: [a, a]\n", "must_pass[1]", "'a' stands twice"),
        (CASES + "repeats: 0\n", "repeats", "must be at least 1"),
        (MINIMAL + "cases: ../evals/*\n", "cases", "leaves the repository or is not plain"),
        (MINIMAL + "cases: evals\n", "cases", "'evals' names one path"),
        (MINIMAL + "cases: {merged: 3}\nisolate: false\n", "isolate", "must be true for a replay"),
        (MINIMAL + "repeats: 2\n", "repeats", "means nothing without cases"),
        (MINIMAL + "must_pass: [a]\n", "must_pass", "means nothing without cases"),
        (MINIMAL + "assignment: {unit: case}\n", "assignment.unit", "is case, but there are no"),
    ],
)
def test_keys_about_cases_that_make_no_sense(text: str, path: str, message: str) -> None:
    [(_, where, words)] = found(read(text))
    assert where == path
    assert message in words


# --- recorded elsewhere ------------------------------------------------------------------


@pytest.mark.parametrize("design", ["", "assignment: {design: paired}\n"])
def test_an_experiment_may_be_recorded_only(design: str) -> None:
    reading = read(MINIMAL.replace("run: ./build.sh\n", design))
    assert reading.problems == ()
    assert reading.experiment is not None
    assert (reading.experiment.run, reading.experiment.slot) == (None, None)
    assert reading.experiment.assignment.design == ("paired" if design else "blocked")


# --- units of metrics --------------------------------------------------------------------


def unit_of(keys: str) -> str | None:
    metric = "{name: throughput, role: primary, direction: increase, %s}" % keys  # noqa: UP031
    reading = read(MINIMAL[: MINIMAL.index("metrics:")] + f"metrics:\n  - {metric}\n")
    assert reading.problems == (), reading.problems
    assert reading.experiment is not None
    return reading.experiment.primary.unit


@pytest.mark.parametrize("unit", ["MB/s", "requests/s", "°C", "m²", "kWh", "ms", "%"])
def test_a_unit_is_read_as_stated(unit: str) -> None:
    assert unit_of(f"unit: '{unit}'") == unit


def test_without_a_unit_there_is_none() -> None:
    assert unit_of("minimum_effect: 10%") is None


@pytest.mark.parametrize(
    ("metric", "words"),
    [
        ("{name: x, direction: increase, unit: '<b>'}", "is not a unit"),
        ("{name: x, direction: increase, unit: '| a |'}", "is not a unit"),
        ("{name: x, direction: increase, unit: seventeen-letters}", "is not a unit"),
        ("{name: time_s, unit: ms}", "contradicts the name, which says s"),
        ("{name: x, kind: proportion, direction: increase, unit: MB}", "has no meaning"),
    ],
)
def test_a_unit_that_cannot_be_is_refused(metric: str, words: str) -> None:
    problems = read(f"{MINIMAL}  - {metric}\n").problems
    assert [problem.path for problem in problems] == ["metrics[1].unit"]
    assert words in problems[0].message
