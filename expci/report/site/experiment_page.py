"""The page of one experiment."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import replace
from datetime import date
from typing import Any

from markupsafe import Markup

from expci.core.decision.thresholds import promotion_threshold, regression_limit
from expci.core.lifecycle.transitions import Life
from expci.core.model.events import Event
from expci.core.model.experiment import CONTROL, Limit, Metric
from expci.core.model.metric_kinds import KINDS
from expci.core.model.results import Analysis, Comparison, MetricResult
from expci.core.model.trial import Trial
from expci.report.documents import template_values
from expci.report.sections import cases, findings, health, plan_rules, records, result_tables
from expci.report.sections.effects import effect_of, interval_words, scale
from expci.report.sections.headline import headline
from expci.report.sections.links import WebPlace, addresses
from expci.report.sections.outlook import ANY_BASE
from expci.report.sections.progress import progress_share, progress_words
from expci.report.sections.sentences import no_trials, primary_of, units_counted
from expci.report.sections.whose_move import mover, the_move
from expci.report.site import pictures
from expci.report.site.charts import named
from expci.report.site.environment import as_html, escaped, in_html, web
from expci.report.site.look_points import point_of
from expci.report.site.pictures import EstimatePoint, Threshold, TrialValue
from expci.report.site.source import ExperimentSource
from expci.report.text import escape, numbers, times
from expci.report.text.phrases import PullRequestNumber
from expci.report.text.tables import Table

MOST_TRIALS = 300  # rows of the table of trials, the newest first
MOST_DIFF_LINES = 400


def experiment_page(source: ExperimentSource, place: WebPlace) -> str:
    """The whole page as HTML."""
    experiment, life, analysis = source.experiment, source.life, source.analysis
    amounts = _amounts(source)
    values = template_values.common_values(experiment, life, analysis, ANY_BASE)
    title = headline(experiment, life, analysis)
    share = progress_share(experiment, life, analysis)
    values |= {"move": the_move(experiment, life, analysis, ANY_BASE)}
    return as_html(
        "experiment.html.jinja",
        **values,
        progress_words=progress_words(experiment, life, analysis),
        share=None if share is None else int(100 * share),
        title=title,
        links=addresses(replace(place, page=""), experiment, life, analysis),
        health_line=health.health_line(life, analysis),
        findings=findings.findings(experiment, analysis),
        estimate=_estimate(source),
        trials_picture=_trials_picture(source, amounts),
        each_trial=len(source.counted) <= pictures.MOST_DOTS,
        metrics=_metric_tables(source),
        days=_days_picture(source),
        timeline=_timeline(life, place.repository),
        changes=_changes(source),
        checks=None if analysis is None else records.check_table(analysis),
        plan=plan_rules.plan_parts(experiment),
        trial_rows=_trial_rows(source, amounts, place.repository),
        hidden_trials=max(0, len(source.counted) + len(source.excluded) - MOST_TRIALS),
        removed=source.removed,
        arms=[arm.name for arm in experiment.arms],
        home="index.html",
        yours=mover(experiment, life, analysis) == "a person",
        treatments=[arm.name for arm in experiment.treatments],
        several=len(experiment.treatments) > 1,
        axis=numbers.stated_percent(_width(source)),
        level=_level(source),
        primary=experiment.primary.name,
        cases=_cases(source, place.repository),
    )


# --- the estimate ------------------------------------------------------------------------


def _estimate(source: ExperimentSource) -> Markup | None:
    """Each arm's estimate at the looks before any promotion: what was decided on."""
    final = source.row.promotion or source.analysis
    looks = [*source.looks, *([point_of(final)] if final else [])]
    ways: dict[str, list[EstimatePoint]] = defaultdict(list)
    for look in looks:
        for arm, effect in look.effects.items():
            point = EstimatePoint(look.units, effect)
            way = ways[arm]
            if way and way[-1].units == point.units:
                way[-1] = point
            elif not way or way[-1].units < point.units:
                way.append(point)
    target = final.progress.target if final else None
    levels, units = _levels(source), "trials of each arm"
    if final is not None:
        units = units_counted(source.experiment, final, 2).partition(" ")[2]
    return pictures.for_any_screen(
        lambda width: pictures.estimate_picture(ways, levels, target, units, width)
    )


def _levels(source: ExperimentSource) -> list[Threshold]:
    """Zero, what promotion needs, and the loss that is too much."""
    primary = source.experiment.primary
    limit, needed = regression_limit(primary), promotion_threshold(source.experiment)
    levels = [Threshold(0.0, "no effect", "zero")]
    threshold = _scaled(needed, primary)
    if threshold is not None:
        words = numbers.limit(needed, primary)
        levels.append(Threshold(threshold, f"promote at {words}", "promote"))
    loss = _scaled(limit, primary)
    if loss is not None:
        words = numbers.limit(limit, primary, -1)
        levels.append(Threshold(-loss, f"limit {words}", "limit"))
    return levels


def _scaled(limit: Limit, metric: Metric) -> float | None:
    """A limit on the scale of the metric's effects; `None` where that has another unit."""
    if KINDS[metric.kind].is_share:
        return limit.value
    return limit.value if limit.relative else None


# --- trials --------------------------------------------------------------------------------


def _amounts(source: ExperimentSource) -> dict[float | None, str]:
    """Each value of the primary metric in words: the pictures and the table show it alike."""
    primary = source.experiment.primary
    trials = (*source.counted, *source.excluded)
    values = {trial.metrics.get(primary.name) for trial in trials}
    return {value: numbers.quantity(value, primary) for value in values}


def _trials_picture(source: ExperimentSource, amounts: Mapping[float | None, str]) -> Markup | None:
    primary = source.experiment.primary
    arms: dict[str, list[TrialValue]] = {arm.name: [] for arm in source.experiment.arms}
    for trial in source.counted:
        value = trial.metrics.get(primary.name)
        if value is not None and trial.arm in arms:
            name = named(f"{trial.unit}: {amounts[value]}")
            arms[trial.arm].append(TrialValue(value, trial.status != "ok", name))
    return pictures.for_any_screen(
        lambda width: pictures.trials_picture(
            arms, lambda value: numbers.quantity(value, primary), width
        )
    )


def _days_picture(source: ExperimentSource) -> Markup | None:
    days: dict[date, Counter[str]] = defaultdict(Counter)
    for trial in source.counted:
        started = times.parsed(trial.started)
        if started is not None:
            days[started.date()][trial.arm] += 1
    names = [arm.name for arm in source.experiment.arms]
    return pictures.for_any_screen(lambda width: pictures.days_picture(days, names, width))


def _trial_rows(
    source: ExperimentSource, amounts: Mapping[float | None, str], repository: str
) -> Markup:
    """The table's rows, the newest first: thousands on a large page, so no template makes them."""
    trials = sorted([*source.counted, *source.excluded], key=lambda t: t.started, reverse=True)
    counted = {trial.id for trial in source.counted}
    primary = source.experiment.primary
    rows = (
        _trial_row(
            trial,
            amounts[trial.metrics.get(primary.name)],
            _run_link(trial, repository),
            trial.id in counted,
        )
        for trial in trials[:MOST_TRIALS]
    )
    return Markup("\n".join(rows))  # noqa: S704 - of rows whose every text is escaped


def _trial_row(trial: Trial, amount: str, run: str, is_counted: bool) -> str:
    arm, unit = escaped(trial.arm), escaped(escape.clipped(trial.unit, 40))
    status = escaped(escape.words(trial.status))
    if not is_counted:
        why = escape.words(trial.excluded or "excluded")
        status = f"{status} · excluded: {escaped(why)}"
    link = f'<a href="{escaped(run)}" aria-label="run of {unit}, {arm}">run</a>' if run else ""
    kind = "" if is_counted else ' class="excluded"'
    return (
        f"<tr{kind}><td>{escaped(times.minute(trial.started))}</td><td>{arm}</td><td>{unit}</td>"
        f'<td>{status}</td><td class="number">{escaped(amount)}</td><td>{link}</td></tr>'
    )


def _cases(source: ExperimentSource, repository: str) -> Table | None:
    analysis = source.analysis
    if analysis is None or not analysis.cases:
        return None
    linked = repository if web(repository) else ""
    return cases.case_table(source.experiment, analysis, repository=linked)


def _run_link(trial: Trial, repository: str) -> str:
    """The address of the CI run of a trial of this repository; "" of any other."""
    run, where = trial.context.get("run_id", ""), trial.context.get("repository", "")
    if not (web(repository) and run.isdecimal() and repository.endswith(f"/{where}") and where):
        return ""
    return f"{repository}/actions/runs/{run}"


# --- metrics, events, changes ----------------------------------------------------------------


def _metric_tables(source: ExperimentSource) -> list[tuple[str, list[dict[str, Any]]]]:
    """(title, rows): the metrics now, and after a promotion also what it was promoted for."""
    promotion, now = source.row.promotion, source.analysis
    tables = [("Metrics at the promotion", promotion)] if promotion else []
    tables += [("Metrics since the promotion" if promotion else "Metrics", now)] if now else []
    return [(title, _metric_rows(source, look)) for title, look in tables if not no_trials(look)]


def _metric_rows(source: ExperimentSource, look: Analysis) -> list[dict[str, Any]]:
    pairs = result_tables.pairs(result_tables.by_role(look.metrics))
    width = _width(source)
    specs = {metric.name: metric for metric in source.experiment.metrics}
    return [
        _metric_row(metric, item, specs.get(metric.name), source, width) for metric, item in pairs
    ]


def _width(source: ExperimentSource) -> float:
    """Half the width of the metrics' common axis."""
    looks = [look for look in (source.row.promotion, source.analysis) if look]
    pairs = [pair for look in looks for pair in result_tables.pairs(look.metrics)]
    effects = [effect_of(comparison, metric) for metric, comparison in pairs]
    return scale([effect for effect in effects if effect.form != "unit"])


def _level(source: ExperimentSource) -> str:
    metric = primary_of(source.analysis) if source.analysis else None
    level = metric.comparisons[0].level if metric and metric.comparisons else 0.95
    return numbers.stated_percent(level)


def _metric_row(
    metric: MetricResult,
    comparison: Comparison,
    spec: Metric | None,
    source: ExperimentSource,
    width: float,
) -> dict[str, Any]:
    effect = effect_of(comparison, metric)
    needed = None
    if spec is not None and metric.role == "primary":
        needed = _scaled(promotion_threshold(source.experiment), spec)
    elif spec is not None and metric.role == "guardrail":
        limit = _scaled(regression_limit(spec), spec)
        needed = None if limit is None else -limit
    control, treated = metric.arms.get(CONTROL), metric.arms.get(comparison.arm)
    words = f"{metric.name} with {comparison.arm}: {interval_words(effect, sign=True)}"
    drawn = effect.form != "unit" and effect.interval is not None
    return {
        "name": metric.name,
        "role": metric.role,
        "arm": comparison.arm,
        "improvement": effect.words(effect.value, sign=True),
        "interval": interval_words(effect, sign=True),
        "picture": pictures.interval_picture(effect, needed, width, words) if drawn else "",
        "control": numbers.quantity(control.mean if control else None, metric),
        "value": numbers.quantity(treated.mean if treated else None, metric),
    }


def _timeline(life: Life, repository: str) -> list[dict[str, Any]]:
    """The log, newest first."""
    views = zip(life.events, records.event_views(life), strict=True)
    return [_event(event, view, repository) for event, view in views][::-1]


def _event(event: Event, view: records.EventView, repository: str) -> dict[str, Any]:
    pull = getattr(event, "pull", None)
    commit = getattr(event, "merge", "") or getattr(event, "commit", "")
    linked = web(repository) and commit.isalnum()
    return {
        "word": event.word,
        "when": view.when,
        "what": in_html(view.what),
        "why": view.why,
        "pull": in_html(PullRequestNumber(pull), repository) if pull else "",
        "commit": commit[:12],
        "commit_url": f"{repository}/commit/{commit}" if linked else "",
    }


def _changes(source: ExperimentSource) -> list[dict[str, Any]]:
    """Each varied file's diff, all of them together at most 400 lines."""
    left, diffs = MOST_DIFF_LINES, []
    for (arm, path), lines in (source.changes or {}).items():
        kept = lines[: max(left, 0)]
        left -= len(kept)
        diffs.append(
            {
                "arm": arm,
                "path": path,
                "lines": [(_kind(line), _printable(line)) for line in kept],
                "hidden": len(lines) - len(kept),
            }
        )
    return diffs


def _printable(line: str) -> Markup:
    """A line with invisible characters as escapes; its spaces stay."""
    from expci.core.spec.yaml_document import printable

    return Markup("{}").format(printable(line.replace("\t", "    "))[:400])


def _kind(line: str) -> str:
    if line.startswith("@@"):
        return "place"
    return {"+": "added", "-": "removed"}.get(line[:1], "same")
