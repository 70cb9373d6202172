"""Whether the data can be trusted: alerts, checks, and the trials that do not count."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence

from expci.core.lifecycle.transitions import Life
from expci.core.model.events import AlertRaised
from expci.core.model.experiment import Experiment
from expci.core.model.results import Analysis, Check
from expci.report.sections import records
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import Code, Phrase, Strong, Words, joined, phrase

# What the codes of refused records mean, in a reader's words.
_REFUSALS: Mapping[str, str] = {
    "clock": "a clock in the future",
    "damaged": "damaged in the ledger",
    "id_taken": "the id of another record",
    "malformed": "not a record",
    "no_arm": "an arm that the plan does not have",
    "not_from_source": "a value that only its source may state",
    "not_started": "of a plan that never ran",
    "untrusted": "of a fork",
}


def health(life: Life, analysis: Analysis | None) -> tuple[Phrase, ...]:
    """Checks, exclusions and alerts, what needs attention first."""
    parts = [
        phrase(
            "{} since {}{}",
            Strong(f"alert {escape.words(name)}"),
            times.day(alert.at),
            _detail(alert.why),
        )
        for name, alert in life.alerts.items()
    ]
    parts += [
        phrase("{} since {}{}", Strong(f"{arm} dropped"), times.day(event.at), _detail(event.why))
        for arm, event in life.dropped.items()
    ]
    if analysis is None:
        return (*parts, phrase("no check has run yet"))
    parts += [
        phrase("{}{}", Strong(f"{escape.words(check.name)} {check.status}"), _detail(check.detail))
        for check in analysis.checks
        if check.status in ("failed", "warning")
        and not _repeats(life.alerts.get(check.name), check)
    ]
    parts += _checked(analysis)
    return (*parts, _counts(analysis))


def short_health(experiment: Experiment, life: Life, analysis: Analysis | None) -> Phrase:
    """How many notes on the health there are, and where they stand."""
    notes = len(health(life, analysis))
    return phrase("{}; see {}", numbers.count(notes, "note"), Code(f"expci status {experiment.id}"))


def health_line(life: Life, analysis: Analysis | None) -> Phrase:
    """One line: a mark, how many checks pass of how many, what does not, the trials excluded."""
    checks = analysis.checks if analysis else ()
    counts = Counter(check.status for check in checks)
    bad = [check for check in checks if check.status in ("failed", "warning")]
    fine = "🟢" if counts["ok"] else "⚪"
    mark = "🔴" if life.alerts or counts["failed"] else "🟡" if bad else fine
    parts: list[Words] = [f"{mark} {_passed(checks) if checks else 'no check has run yet'}"]
    parts += [Strong(f"alert: {escape.words(name)}") for name in life.alerts]
    parts += [
        f"{escape.words(check.name)} {'fails' if check.status == 'failed' else 'warns'}"
        for check in bad
        if check.name not in life.alerts
    ]
    parts += [f"{counts['unknown']} not yet possible"] if counts["unknown"] else []
    reasons = records.excluded(analysis) if analysis else {}
    excluded = sum(n for reason, n in reasons.items() if reason != "before_promotion")
    parts += [f"{numbers.count(excluded, 'trial')} excluded"] if excluded else []
    return joined(parts, " · ")


def _repeats(alert: AlertRaised | None, check: Check) -> bool:
    """Whether an alert says of a check what it says itself."""
    return alert is not None and alert.why == check.detail


def _passed(checks: Sequence[Check]) -> str:
    return f"{sum(check.status == 'ok' for check in checks)} of {len(checks)} checks pass"


def _detail(text: str) -> str:
    return f": {escape.clean(text)}" if text.strip() else ""


def _checked(analysis: Analysis) -> list[Phrase]:
    open_ones = [escape.words(check.name) for check in analysis.checks if check.status == "unknown"]
    parts = [phrase("{}", _passed(analysis.checks))]
    parts += [phrase("not possible yet: {}", ", ".join(open_ones))] if open_ones else []
    return parts if analysis.checks else [phrase("no check has run yet")]


def _counts(analysis: Analysis) -> Phrase:
    excluded = records.excluded(analysis)
    total = numbers.count(sum(analysis.trials.arms.values()), "trial")
    parts = [phrase("{} counted", total)]
    if excluded:
        reasons = records.reasons_with_counts(excluded)
        uncounted = numbers.count(sum(excluded.values()))
        parts.append(phrase("{} not counted ({})", uncounted, reasons))
    if analysis.refused:
        parts.append(_refused(analysis))
    if len(parts) == 1:
        return phrase("{} counted, none excluded", total)
    return joined(parts, ", ")


def _refused(analysis: Analysis) -> Phrase:
    """How many records were refused, why and of which arm: an arm that loses many looks good."""
    reasons = "; ".join(
        f"{_REFUSALS.get(code, escape.words(code))}: "
        + ", ".join(f"{arm or 'arm unknown'} {n:,}" for arm, n in sorted(by_arm.items()))
        for code, by_arm in sorted(analysis.refused.items())
    )
    total = sum(sum(by_arm.values()) for by_arm in analysis.refused.values())
    return phrase("{} refused ({})", numbers.count(total, "record"), escape.clean(reasons))
