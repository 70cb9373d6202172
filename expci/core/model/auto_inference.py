"""What `inference: auto` becomes: planned looks where the sample size is known, else every look.

Never decided from the data that are tested: the file, a pilot or a stated baseline tell the size
before the first trial counts.
"""

from __future__ import annotations

from dataclasses import replace

from expci.core.model import limits
from expci.core.model.experiment import InferenceBasis, PlanRules


def at_planned_looks(rules: PlanRules, basis: InferenceBasis) -> PlanRules:
    """Return rules with looks that share alpha by the power family, and a reserve to extend.

    >>> rules = at_planned_looks(PlanRules(alpha=0.05), "stated_size")
    >>> rules.looks, rules.spending, rules.reserve, round(rules.planned_alpha, 6)
    (20, 'power', 0.1, 0.045)
    """
    return replace(
        rules,
        inference="group-sequential",
        inference_basis=basis,
        looks=limits.AUTO_LOOKS,
        spending=limits.AUTO_SPENDING,
        rho=limits.RHO,
        reserve=limits.AUTO_RESERVE,
        planned_harm=limits.AUTO_PLANNED_HARM,
    )


def at_every_look(rules: PlanRules, basis: InferenceBasis) -> PlanRules:
    """Return rules for evidence that needs no size.

    >>> planned = at_planned_looks(PlanRules(sample_size=40), "stated_size")
    >>> rules = at_every_look(planned, "ample_size")
    >>> rules.inference, rules.reserve, rules.sample_size
    ('anytime', 0.0, 40)
    """
    usual = PlanRules()
    return replace(
        rules,
        inference="anytime",
        inference_basis=basis,
        looks=usual.looks,
        spending=usual.spending,
        rho=usual.rho,
        reserve=usual.reserve,
        planned_harm=usual.planned_harm,
    )


def becoming(rules: PlanRules, basis: object) -> PlanRules:
    """Return what `auto` is for that reason; as it was where the file states an inference.

    >>> becoming(PlanRules(inference_basis="no_size"), "computed_size").inference
    'group-sequential'
    """
    if rules.inference_basis == "stated":
        return rules
    if basis in ("stated_size", "computed_size"):
        return at_planned_looks(rules, basis)
    return at_every_look(rules, basis) if basis in ("ample_size", "no_size") else rules


def as_stated(rules: PlanRules) -> PlanRules:
    """Return what `auto` becomes by the file alone.

    >>> as_stated(PlanRules(sample_size=40)).inference, as_stated(PlanRules()).inference
    ('group-sequential', 'anytime')
    """
    if rules.sample_size is None:
        return at_every_look(rules, "no_size")
    return at_planned_looks(rules, "stated_size")
