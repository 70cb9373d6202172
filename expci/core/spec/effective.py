"""Every effective value of an experiment: metrics, arms, and the rules it is judged by."""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Mapping

from expci.core.model import auto_inference, limits
from expci.core.model.cases import UNIT
from expci.core.model.experiment import (
    CONTROL,
    Arm,
    Assignment,
    DecisionRules,
    Limit,
    Metric,
    PlanRules,
    Unit,
)
from expci.core.model.metric_kinds import Kind
from expci.core.spec.effective_metrics import MetricValues
from expci.core.spec.origins import value_at
from expci.core.spec.yaml_document import dotted

_ARM_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,62}")


class Effective(MetricValues):
    """The values of one file over the repository's defaults, with origins and problems."""

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
        if len(names) > limits.ARMS:
            self.complain(("arms",), f"are more than {limits.ARMS}", "test fewer at once")
        for name in names:
            if not _ARM_NAME.fullmatch(name):
                fix = "use letters, digits and _ . -, at most 63"
                self.complain(("arms", name), "is not a valid arm name", fix)
        twice = [name for name, count in Counter(map(str.lower, names)).items() if count > 1]
        for name in twice:
            self.complain(("arms",), f"{name!a} stands twice but for case", "rename one")

    # --- rules -----------------------------------------------------------------------

    def assignment(self) -> Assignment:
        has_run = self.file.run is not None or self.form.is_broken(("run",))
        fallback, because = (
            (limits.DESIGN_WITH_RUN, "run:") if has_run else (limits.DESIGN_WITHOUT_RUN, "no run:")
        )
        design = self.choose(("assignment", "design"), fallback, f"derived: {because}")
        only_recorded = self.file.slot is None and not self.form.is_broken(("slot",))
        if design == "paired" and not has_run and not only_recorded:
            fix = "add `run: COMMAND`, or write `design: blocked`"
            self.complain(("assignment", "design"), "is paired, but no command runs both arms", fix)
        return Assignment(
            unit=self.unit(),
            design=design,
            weights=self.weights(design),
            traffic=float(self.choose(("assignment", "traffic"), limits.TRAFFIC)),
        )

    def unit(self) -> Unit:
        """The case, where there are cases; else as stated."""
        path, has_cases = ("assignment", "unit"), self.file.cases is not None
        stated = value_at(self.file, path)
        if has_cases and stated not in (None, UNIT):
            self.complain(path, f"is {stated}, but every case is a unit", "remove `unit`")
        if stated == UNIT and not has_cases:
            fix = "add `cases: evals/*`, or write `unit: custom`"
            self.complain(path, "is case, but there are no cases", fix)
        if has_cases:
            self.origins[dotted(path)] = "derived: cases:"
            return UNIT
        unit: Unit = self.choose(path, limits.UNIT)
        return unit

    def isolate(self) -> bool:
        """Whether runs are isolated: with cases they are, unless stated otherwise."""
        has_cases = self.file.cases is not None
        because = "derived: cases:" if has_cases else "default"
        return bool(self.choose(("isolate",), has_cases, because))

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
            if not 0 < weight <= limits.WEIGHT_AT_MOST:
                self.complain(
                    path, f"must be more than 0, not {weight:g}", "write 1, or remove the arm"
                )
        weights = {
            name: self.choose(("assignment", "weights", name), limits.WEIGHT) for name in names
        }
        if design == "paired" and len(set(weights.values())) > 1:
            fix = "remove them, or write `design: blocked`"
            self.complain(("assignment", "weights"), "have no effect on pairs", fix)
        return {name: float(weight) for name, weight in weights.items()}

    def plan(self, risk: str) -> PlanRules:
        size = self.choose(("plan", "sample_size"), None, "computed by `expci plan`")
        fallback = limits.MIN_TRIALS if size is None else min(limits.MIN_TRIALS, size)
        because = "default" if fallback == limits.MIN_TRIALS else "derived from sample_size"
        min_trials = self.choose(("plan", "min_trials"), fallback, because)
        if size is not None and min_trials > size:
            path = ("plan", "min_trials")
            if value_at(self.file, path) is None:
                path = ("plan", "sample_size")
            message = f"{min_trials} trials are needed to promote, but sample_size is {size}"
            self.complain(path, message, f"write `sample_size: {min_trials}` or more")
        self.check_looks()
        inference = self.choose(("plan", "inference"), limits.INFERENCE)
        rules = PlanRules(
            inference="anytime" if inference == "auto" else inference,
            alpha=self.alpha(risk),
            power=float(self.choose(("plan", "power"), limits.POWER)),
            min_trials=min_trials,
            sample_size=size,
            max_days=float(self.choose(("plan", "max_days"), limits.MAX_DAYS)),
            looks=self.choose(("plan", "looks"), limits.LOOKS),
            spending=self.choose(("plan", "spending"), limits.SPENDING),
            rho=float(self.choose(("plan", "rho"), limits.RHO)),
            futility=bool(self.choose(("plan", "futility"), False)),
            count_forks=bool(self.choose(("plan", "count_forks"), False)),
        )
        if inference == "auto" and self.file.cases is not None:
            self.origins["plan.inference"] = "derived: cases: are visited again and again"
            return rules
        return self.automatic(rules) if inference == "auto" else rules

    def automatic(self, rules: PlanRules) -> PlanRules:
        """What `auto` becomes by this file; its keys say that they come of it."""
        basis = "no sample_size" if rules.sample_size is None else "sample_size"
        chosen = auto_inference.as_stated(rules)
        for key in ("inference", "inference_basis", "looks", "spending", "rho", "reserve"):
            if getattr(chosen, key) != getattr(rules, key) or key == "inference":
                self.origins[f"plan.{key}"] = f"derived: inference auto, {basis}"
        return chosen

    def check_looks(self) -> None:
        """Keys of a group-sequential plan that stand in another one mean nothing."""
        inference = self.choose(("plan", "inference"), limits.INFERENCE)
        spending = self.choose(("plan", "spending"), limits.SPENDING)
        for key in ("looks", "spending", "rho", "futility"):
            path = ("plan", key)
            if value_at(self.file, path) is None:
                continue
            if inference != "group-sequential":
                fix = f"write `inference: group-sequential` or remove `{key}`"
                self.complain(path, f"has no meaning for inference {inference}", fix)
            elif key == "rho" and spending != "power":
                fix = "write `spending: power` or remove `rho`"
                self.complain(path, f"has no meaning for spending {spending}", fix)

    def alpha(self, risk: str) -> float:
        """The file's alpha; at high risk 0.01, unless the repository's is smaller still."""
        path = ("plan", "alpha")
        high = risk == "high"
        fallback, because = (
            (limits.HIGH_RISK_ALPHA, "derived: risk is high") if high else (limits.ALPHA, "default")
        )
        alpha = float(self.choose(path, fallback, because))
        if high and value_at(self.file, path) is None and alpha > limits.HIGH_RISK_ALPHA:
            self.origins[dotted(path)] = because
            return limits.HIGH_RISK_ALPHA
        return alpha

    def decision(self, primary: Metric | None) -> DecisionRules:
        path = ("decision", "promote_at")
        effect = primary.minimum_effect if primary else None
        fallback = (
            None
            if effect is None
            else Limit(limits.PROMOTE_AT_SHARE * effect.value, effect.relative)
        )
        kind: Kind = primary.kind if primary else "mean"
        promote_at = self.limit(path, kind, fallback)
        if value_at(self.file, path) is None and value_at(self.defaults.form.values, path) is None:
            self.origins[dotted(path)] = "derived: half of minimum_effect"
        return DecisionRules(
            promote=self.choose(("decision", "promote"), limits.PROMOTE),
            promote_at=promote_at,
            rollback=self.choose(("decision", "rollback"), limits.ROLLBACK),
            watch_days=float(self.choose(("decision", "watch_days"), limits.WATCH_DAYS)),
            holdback=self.choose(("decision", "holdback"), limits.HOLDBACK),
        )
