"""The metrics of an experiment with every default filled in, and what is wrong with them."""

from __future__ import annotations

import math
import re
from typing import Any

from expci.core.model import limits
from expci.core.model.experiment import Baseline, Limit, Metric, Role, default_limit
from expci.core.model.metric_kinds import KINDS, Kind
from expci.core.model.metric_names import SUCCESS, direction_of, kind_of
from expci.core.model.source import MetricSource, Rows
from expci.core.number_format import unit_of_name
from expci.core.spec.origins import SpecValues
from expci.core.spec.schema import MetricSection, SourceSection
from expci.core.spec.yaml_document import Path, dotted

# Letters, digits and the signs of units, in words one space apart: nothing that a report escapes.
_UNIT = re.compile(r"[\w%°$€£/.^²³·-]+( [\w%°$€£/.^²³·-]+)*")
_UNIT_LENGTH = 16
_METRIC_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,63}")


class MetricValues(SpecValues):
    """Reads the `metrics` of a file."""

    def metrics(self) -> tuple[Metric, ...]:
        sections = self.file.metrics or []
        metrics = [self.metric(number, section) for number, section in enumerate(sections)]
        self.check_names([metric.name for metric in metrics])
        self.check_primary(metrics)
        if all(metric.name != SUCCESS for metric in metrics):
            path = ("metrics", len(metrics))
            self.origins[dotted(path)] = "added: success is a guardrail of every experiment"
            loss = default_limit("proportion")
            metrics.append(
                Metric(SUCCESS, "guardrail", "proportion", "increase", max_regression=loss)
            )
        return tuple(metrics)

    def metric(self, number: int, section: MetricSection) -> Metric:
        path: Path = ("metrics", number)
        name = section.name or ""
        role: Role = self.choose((*path, "role"), limits.ROLE)
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
            denominator=section.denominator,
            winsorize=section.winsorize,
            adjust_by=tuple(section.adjust_by or ()),
            unit=self.metric_unit(path, section, name, kind),
            source=self.source((*path, "source"), section.source),
        )
        self.check_metric(path, metric)
        self.check_methods(path, metric)
        return metric

    def kind(self, path: Path, section: MetricSection, name: str) -> Kind:
        by_quantile = section.quantile is not None
        derived: Kind = "quantile" if by_quantile else kind_of(name)
        because = "derived from quantile" if by_quantile else f"derived from the name {name}"
        if section.denominator is not None:
            derived, because = "ratio", "derived from denominator"
        kind: Kind = self.choose((*path, "kind"), derived, because)
        return kind

    def direction(self, path: Path, name: str) -> Any:
        guess = direction_of(name)
        direction = self.choose((*path, "direction"), guess, f"derived from the name {name}")
        if direction is None and not self.form.is_broken((*path, "name")):
            fix = "write `direction: increase` or `direction: decrease`"
            self.complain((*path, "direction"), f"is missing and {name!a} does not tell", fix)
        return direction or "increase"

    def minimum_effect(self, path: Path, role: Role, kind: Kind) -> Limit | None:
        fallback = default_limit(kind) if role == "primary" else None
        return self.limit((*path, "minimum_effect"), kind, fallback)

    def max_regression(self, path: Path, role: Role, kind: Kind) -> Limit | None:
        fallback = default_limit(kind) if role != "secondary" else None
        return self.limit((*path, "max_regression"), kind, fallback)

    def metric_unit(self, path: Path, section: MetricSection, name: str, kind: Kind) -> str | None:
        """The stated unit; `None` where the name tells it, or nothing does."""
        path, stated, by_name = (*path, "unit"), section.unit, unit_of_name(name)
        if stated is None:
            return None
        self.choose(path)
        if len(stated) > _UNIT_LENGTH or not _UNIT.fullmatch(stated):
            fix = f"write at most {_UNIT_LENGTH} letters, digits and / % ^ . -: MB/s"
            self.complain(path, f"{stated[:40]!a} is not a unit", fix)
        if KINDS[kind].is_share:
            self.complain(path, f"has no meaning for kind {kind}", "remove `unit`")
        if by_name not in ("", stated):
            self.complain(path, f"contradicts the name, which says {by_name}", "rename the metric")
        return stated

    def source(self, path: Path, section: SourceSection | None) -> MetricSource | None:
        """Where the values live; `None` where trials report them, or keys are missing."""
        if section is None:
            return None
        rows: Rows = self.choose((*path, "rows"), limits.SOURCE_ROWS)
        name, table, unit, at, window = (
            self.choose((*path, key)) for key in ("name", "table", "unit", "at", "window")
        )
        if None in (name, table, unit, at, window):
            return None
        return MetricSource(name, table, unit, at, window, section.value, rows)

    def baseline(self, path: Path, section: MetricSection, kind: Kind) -> Baseline | None:
        stated, path = section.baseline, (*path, "baseline")
        own = KINDS[kind].control
        if stated is None and own is not None:
            self.origins[dotted(path)] = f"derived from kind {kind}"
            return Baseline(*own)
        if stated is None or stated.mean is None:
            return None
        self.origins[dotted(path)] = self.form.origin(path)
        mean, sd, values = stated.mean, stated.sd, KINDS[kind].values
        beyond = own is not None and (mean != own[0] or (sd or 0.0) > own[1])
        if values is not None and (beyond or not values.holds_mean(mean)):
            self.complain((*path, "mean"), *values.baseline)
            return None
        if sd is None and KINDS[kind].is_share:
            sd = math.sqrt(mean * (1 - mean))
        if sd is None:
            self.complain((*path, "sd"), "is missing", "write `baseline: {mean: 300, sd: 45}`")
        return None if sd is None else Baseline(mean, sd)

    def check_metric(self, path: Path, metric: Metric) -> None:
        name, effect = metric.name, metric.minimum_effect
        self.check_own_keys(path, metric)
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

    def check_own_keys(self, path: Path, metric: Metric) -> None:
        """A key that one kind needs stands there, and nowhere else."""
        for kind, traits in KINDS.items():
            if traits.own_key is None:
                continue
            key, example = traits.own_key
            value = getattr(metric, key)
            if kind == metric.kind and value is None:
                self.complain(
                    (*path, key), f"is missing for kind {kind}", f"write `{key}: {example}"
                )
            if kind != metric.kind and value is not None:
                fix = f"write `kind: {kind}` or remove `{key}`"
                self.complain((*path, key), f"has no meaning for kind {metric.kind}", fix)

    def check_methods(self, path: Path, metric: Metric) -> None:
        """Keys that some kinds know."""
        kind, keys = metric.kind, metric.traits.keys
        if metric.denominator is not None and metric.denominator == metric.name:
            fix = "name another metric that trials report"
            self.complain((*path, "denominator"), "is the metric itself", fix)
        if metric.winsorize is not None and "winsorize" not in keys:
            fix = f"remove `winsorize`: kind {kind} has no outliers to pull in"
            self.complain((*path, "winsorize"), f"has no meaning for kind {kind}", fix)
        if metric.adjust_by and "adjust_by" not in keys:
            fix = "write `kind: mean`, or remove `adjust_by`"
            self.complain((*path, "adjust_by"), f"has no meaning for kind {kind}", fix)
        if (
            len(set(metric.adjust_by)) < len(metric.adjust_by)
            or len(metric.adjust_by) > limits.COVARIATES
        ):
            fix = f"name at most {limits.COVARIATES} covariates, each once"
            message = f"names one twice or more than {limits.COVARIATES}"
            self.complain((*path, "adjust_by"), message, fix)
        if metric.name in metric.adjust_by:
            fix = "name something measured before the trial, not its result"
            self.complain((*path, "adjust_by"), "is the metric itself", fix)

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
                self.complain(path, f"{name[:80]!a} is not a valid metric name", fix)
            if name and name in names[:number]:
                self.complain(path, f"{name!a} stands twice", "keep one of the two")
        if len(names) > limits.METRICS:
            self.complain(("metrics",), f"are more than {limits.METRICS}", "keep what decides")
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
