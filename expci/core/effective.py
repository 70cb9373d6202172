"""Every effective value of an experiment: the file's, the repository's, derived, or default.

Each comes with its origin for `validate --explain`. What makes no sense together becomes a
complaint; nothing is raised, so that all of them are found in one reading.
"""

from __future__ import annotations

import difflib
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

from expci.core.defaults import Defaults
from expci.core.document import Path, Problem, dotted
from expci.core.form import Form
from expci.core.metric_names import SUCCESS, direction_of, kind_of
from expci.core.model import (
    CONTROL,
    Arm,
    Assignment,
    Baseline,
    DecisionRules,
    Kind,
    Limit,
    Metric,
    PlanRules,
    Role,
)
from expci.core.schema import ExperimentFile, MetricSection

RELATIVE_DEFAULT = Limit(0.1, relative=True)
POINTS_DEFAULT = Limit(0.05, relative=False)
HIGH_RISK_ALPHA = 0.01
MIN_TRIALS = 20
_COUNT_LIMIT = 50  # metrics or arms; every further one costs power

_METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")
_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Effective:
    """The values of one file over the repository's defaults, with origins and problems."""

    def __init__(self, form: Form[ExperimentFile], defaults: Defaults) -> None:
        self.form, self.defaults = form, defaults
        self.file = form.values
        self.origins: dict[str, str] = {}
        self.problems: list[Problem] = []

    def complain(self, path: Path, message: str, fix: str) -> None:
        if not self.form.is_broken(path) or not path:
            self.problems.append(self.form.problem(path, message, fix))

    def choose(self, path: Path, fallback: Any = None, because: str = "default") -> Any:
        """The file's value at `path`, else the repository's, else `fallback`."""
        for form in (self.form, self.defaults.form):
            value = _at(form.values, path)
            if value is not None:
                self.origins[dotted(path)] = form.origin(path)
                return value
        self.origins[dotted(path)] = because
        return fallback

    # --- metrics ---------------------------------------------------------------------

    def metrics(self) -> tuple[Metric, ...]:
        sections = self.file.metrics or []
        found = [self.metric(number, section) for number, section in enumerate(sections)]
        self.check_names([metric.name for metric in found])
        self.check_primary(found)
        if all(metric.name != SUCCESS for metric in found):
            path = ("metrics", len(found))
            self.origins[dotted(path)] = "added: success is a guardrail of every experiment"
            found.append(
                Metric(
                    SUCCESS, "guardrail", "proportion", "increase", max_regression=POINTS_DEFAULT
                )
            )
        return tuple(found)

    def metric(self, number: int, section: MetricSection) -> Metric:
        path: Path = ("metrics", number)
        name = section.name or ""
        role: Role = self.choose((*path, "role"), "secondary")
        kind = self.kind(path, section, name)
        direction = self.direction(path, name)
        metric = Metric(
            name=name,
            role=role,
            kind=kind,
            direction=direction,
            minimum_effect=self.minimum_effect(path, role, kind),
            max_regression=self.max_regression(path, role, kind),
            alert_below=section.alert_below,
            non_inferior=bool(section.non_inferior),
            quantile=section.quantile,
            baseline=self.baseline(path, section, kind),
        )
        self.check_metric(path, metric)
        return metric

    def kind(self, path: Path, section: MetricSection, name: str) -> Kind:
        by_quantile = section.quantile is not None
        because = "derived from quantile" if by_quantile else f"derived from the name {name}"
        kind: Kind = self.choose(
            (*path, "kind"), "quantile" if by_quantile else kind_of(name), because
        )
        return kind

    def direction(self, path: Path, name: str) -> Any:
        guess = direction_of(name)
        found = self.choose((*path, "direction"), guess, f"derived from the name {name}")
        if found is None and not self.form.is_broken((*path, "name")):
            fix = "write `direction: increase` or `direction: decrease`"
            self.complain((*path, "direction"), f"is missing and {name!a} does not tell", fix)
        return found or "increase"

    def minimum_effect(self, path: Path, role: Role, kind: Kind) -> Limit | None:
        fallback = _default_limit(kind) if role == "primary" else None
        return self.limit((*path, "minimum_effect"), kind, fallback)

    def max_regression(self, path: Path, role: Role, kind: Kind) -> Limit | None:
        fallback = _default_limit(kind) if role != "secondary" else None
        return self.limit((*path, "max_regression"), kind, fallback)

    def limit(self, path: Path, kind: Kind, fallback: Limit | None) -> Limit | None:
        """A limit; a proportion's is in points, so `5%` is 0.05 of the proportion itself."""
        because = "not asked for" if fallback is None else "default"
        found: Limit | None = self.choose(path, fallback, because)
        if found is None or kind != "proportion":
            return found
        if found.value > 1:
            fix = (
                f"write {found.value:g}% for percentage points"
                if found.value <= 100
                else "write 5%"
            )
            self.complain(path, f"{found} is more than a proportion can change", fix)
        return Limit(found.value, relative=False)

    def baseline(self, path: Path, section: MetricSection, kind: Kind) -> Baseline | None:
        stated, path = section.baseline, (*path, "baseline")
        if stated is None or stated.mean is None:
            return None
        self.origins[dotted(path)] = self.form.origin(path)
        mean, sd = stated.mean, stated.sd
        if kind == "proportion" and not 0 <= mean <= 1:
            self.complain(
                (*path, "mean"), "a proportion lies between 0 and 1", "write 0.95 for 95%"
            )
            return None
        if kind == "duration" and mean <= 0:
            self.complain(
                (*path, "mean"), "a duration is more than zero", "write it in the metric's unit"
            )
        if sd is None and kind == "proportion":
            sd = math.sqrt(mean * (1 - mean))
        if sd is None:
            self.complain((*path, "sd"), "is missing", "write `baseline: {mean: 300, sd: 45}`")
        return None if sd is None else Baseline(mean, sd)

    def check_metric(self, path: Path, metric: Metric) -> None:
        name, effect = metric.name, metric.minimum_effect
        if metric.kind == "quantile" and metric.quantile is None:
            self.complain(
                (*path, "quantile"), "is missing for kind quantile", "write `quantile: 0.9`"
            )
        if metric.kind != "quantile" and metric.quantile is not None:
            fix = "write `kind: quantile` or remove `quantile`"
            self.complain((*path, "quantile"), f"has no meaning for kind {metric.kind}", fix)
        if metric.non_inferior and metric.role != "guardrail":
            fix = "write `role: guardrail` or remove `non_inferior`"
            self.complain(
                (*path, "non_inferior"), f"has no meaning for a {metric.role} metric", fix
            )
        falls = metric.direction == "decrease" and effect is not None and effect.relative
        if falls and effect is not None and effect.value >= 1:
            self.complain(
                (*path, "minimum_effect"), f"nothing falls by {effect}", "write less than 100%"
            )
        if name == SUCCESS:
            self.check_success(path, metric)

    def check_success(self, path: Path, metric: Metric) -> None:
        for key, wanted in (("kind", "proportion"), ("direction", "increase")):
            if getattr(metric, key) != wanted:
                fix = f"remove `{key}`, or measure something else under another name"
                self.complain((*path, key), f"success is 0 or 1, always {wanted}", fix)
        if metric.role == "secondary":
            fix = "write `role: guardrail` (or `primary`), or leave success out"
            self.complain((*path, "role"), "success is a guardrail of every experiment", fix)

    def check_names(self, names: list[str]) -> None:
        for number, name in enumerate(names):
            path = ("metrics", number, "name")
            if name and not _METRIC_NAME.fullmatch(name):
                fix = "use letters, digits and _ . -, at most 64: review_time_s"
                self.complain(path, f"{name[:80]!a} is no name of a metric", fix)
            if name and name in names[:number]:
                self.complain(path, f"{name!a} stands twice", "keep one of the two")
        if len(names) > _COUNT_LIMIT:
            self.complain(("metrics",), f"are more than {_COUNT_LIMIT}", "keep what decides")
        if self.file.metrics is not None and not names:
            self.complain(("metrics",), "are none", "write `- {name: duration_s, role: primary}`")

    def check_primary(self, metrics: list[Metric]) -> None:
        numbers = [n for n, metric in enumerate(metrics) if metric.role == "primary"]
        unsure = any(self.form.is_broken(("metrics", n, "role")) for n in range(len(metrics)))
        if not numbers and metrics and not unsure:
            fix = "give the metric that decides `role: primary`"
            self.complain(("metrics",), "have no primary metric", fix)
        for number in numbers[1:]:
            fix = "write `role: guardrail` or `role: secondary`"
            self.complain(("metrics", number, "role"), "is a second primary metric", fix)

    # --- arms ------------------------------------------------------------------------

    def arms(self) -> tuple[Arm, ...]:
        """Control first, then the treatments in the file's order."""
        sections = self.file.arms or {}
        self.check_arms(list(sections))
        arms = [
            Arm(
                name=name,
                description=section.description or "",
                files=section.files,
                patch=section.patch,
                delete=tuple(section.delete or ()),
                env=section.env or {},
                promote=section.promote,
            )
            for name, section in sections.items()
        ]
        for name, section in sections.items():
            for key in section.model_fields_set:
                self.origins[f"arms.{name}.{key}"] = self.form.origin(("arms", name, key))
        return tuple(sorted(arms, key=lambda arm: arm.name != CONTROL))

    def check_arms(self, names: list[str]) -> None:
        if self.file.arms is None:
            return
        if CONTROL not in names:
            self.complain(
                ("arms",), "have no control", "add `control: {}`, the repository as it is"
            )
        if not [name for name in names if name != CONTROL]:
            self.complain(("arms",), "have no treatment", "add `treatment: {files: treatment/}`")
        if len(names) > _COUNT_LIMIT:
            self.complain(("arms",), f"are more than {_COUNT_LIMIT}", "test fewer at once")
        for name in names:
            if not _ARM_NAME.fullmatch(name):
                fix = "use letters, digits and _ . -, at most 63"
                self.complain(("arms", name), "is no name of an arm", fix)
        twice = [name for name, count in Counter(map(str.lower, names)).items() if count > 1]
        for name in twice:
            self.complain(("arms",), f"{name!a} stands twice but for case", "rename one")

    # --- rules -----------------------------------------------------------------------

    def assignment(self) -> Assignment:
        has_run = self.file.run is not None or self.form.is_broken(("run",))
        fallback, because = ("paired", "run:") if has_run else ("blocked", "no run:")
        design = self.choose(("assignment", "design"), fallback, f"derived: {because}")
        if design == "paired" and not has_run:
            fix = "add `run: COMMAND`, or write `design: blocked`"
            self.complain(("assignment", "design"), "is paired, but no command runs both arms", fix)
        return Assignment(
            unit=self.choose(("assignment", "unit"), "run"),
            design=design,
            weights=self.weights(design),
            traffic=float(self.choose(("assignment", "traffic"), 1.0)),
        )

    def weights(self, design: str) -> Mapping[str, float]:
        names = sorted(self.file.arms or {}, key=lambda name: name != CONTROL)
        section = self.file.assignment
        given = (section.weights if section else None) or {}
        for name, weight in given.items():
            path = ("assignment", "weights", name)
            if name not in names:
                close = difflib.get_close_matches(name, names, n=1)
                fix = f"did you mean {close[0]}?" if close else f"the arms are {', '.join(names)}"
                self.complain(path, "is no arm", fix)
            if not 0 < weight <= 1e6:
                self.complain(
                    path, f"must be more than 0, not {weight:g}", "write 1, or remove the arm"
                )
        weights = {name: self.choose(("assignment", "weights", name), 1.0) for name in names}
        if design == "paired" and len(set(weights.values())) > 1:
            fix = "remove them, or write `design: blocked`"
            self.complain(("assignment", "weights"), "have no effect on pairs", fix)
        return {name: float(weight) for name, weight in weights.items()}

    def plan(self, risk: str) -> PlanRules:
        size = self.choose(("plan", "sample_size"), None, "computed by `expci plan`")
        fallback = MIN_TRIALS if size is None else min(MIN_TRIALS, size)
        because = "default" if fallback == MIN_TRIALS else "derived from sample_size"
        min_trials = self.choose(("plan", "min_trials"), fallback, because)
        if size is not None and min_trials > size:
            path = ("plan", "min_trials")
            if _at(self.file, path) is None:
                path = ("plan", "sample_size")
            message = f"{min_trials} trials are needed to promote, but sample_size is {size}"
            self.complain(path, message, f"write `sample_size: {min_trials}` or more")
        return PlanRules(
            inference=self.choose(("plan", "inference"), "anytime"),
            alpha=self.alpha(risk),
            power=float(self.choose(("plan", "power"), 0.8)),
            min_trials=min_trials,
            sample_size=size,
            max_days=float(self.choose(("plan", "max_days"), 14.0)),
        )

    def alpha(self, risk: str) -> float:
        """The file's alpha; at high risk 0.01, unless the repository's is smaller still."""
        path = ("plan", "alpha")
        high = risk == "high"
        fallback, because = (
            (HIGH_RISK_ALPHA, "derived: risk is high") if high else (0.05, "default")
        )
        found = float(self.choose(path, fallback, because))
        if high and _at(self.file, path) is None and found > HIGH_RISK_ALPHA:
            self.origins[dotted(path)] = because
            return HIGH_RISK_ALPHA
        return found

    def decision(self, primary: Metric | None) -> DecisionRules:
        path = ("decision", "promote_at")
        effect = primary.minimum_effect if primary else None
        fallback = None if effect is None else Limit(effect.value / 2, effect.relative)
        kind: Kind = primary.kind if primary else "mean"
        promote_at = self.limit(path, kind, fallback)
        if _at(self.file, path) is None and _at(self.defaults.form.values, path) is None:
            self.origins[dotted(path)] = "derived: half of minimum_effect"
        return DecisionRules(
            promote=self.choose(("decision", "promote"), "pr"),
            promote_at=promote_at,
            rollback=self.choose(("decision", "rollback"), "auto"),
            watch_days=float(self.choose(("decision", "watch_days"), 7.0)),
            holdback=self.choose(("decision", "holdback"), None, "by the rate of trials"),
        )


def _default_limit(kind: Kind) -> Limit:
    return POINTS_DEFAULT if kind == "proportion" else RELATIVE_DEFAULT


def _at(values: Any, path: Path) -> Any:
    """The value at `path` of a model; `None` where the path leads to nothing."""
    for part in path:
        if isinstance(part, int):
            values = values[part] if isinstance(values, list) and part < len(values) else None
        elif isinstance(values, dict):
            values = values.get(part)
        else:
            values = getattr(values, part, None)
    return values
