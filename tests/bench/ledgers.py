"""Ledgers of a thousand to a million trials: analysis, a pass, fsck, export, import."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from bench import scale, scenes
from bench.costs import Command, Cost, cost_of, median
from bench.passes import later, passed
from bench.rows import Result
from bench.scenes import EXPCI
from bench.verbs import ratio
from support.stage import Stage

COUNTS = (1_000, 100_000, 1_000_000)
_EXPORTS = ("jsonl", "csv", "parquet")


def analysis(counts: Sequence[int] = COUNTS) -> Iterator[Result]:
    """`expci analyze`, fsck, export and import, and a pass with ten new trials."""
    costs: dict[str, list[Cost]] = {}
    for count in counts:
        with scenes.repository() as clone:
            scale.with_trials(clone, count)
            stage = later(Stage(clone))
            place = clone.path
            verbs: dict[str, Command] = {
                "analyze": [*EXPCI, "analyze", "speed", "--json"],
                "fsck": [*EXPCI, "fsck"],
            }
            for form in _EXPORTS:
                file = str(place.parent / f"out.{form}")
                words = ["export", "speed", "--format", form, "--output", file]
                verbs[f"export_{form}"] = [*EXPCI, *words]
            new = cost_of(verbs["analyze"], place)
            rounds = 1 if count == counts[-1] else 3
            bare = median([cost_of(scale.bare(place), place) for _ in range(rounds)])
            for name, command in verbs.items():
                cost = median([cost_of(command, place) for _ in range(rounds)])
                costs.setdefault(name, []).append(cost)
            yield ratio(f"analyze_1e{round(math.log10(count))}", costs["analyze"][-1], bare)
            if count == counts[-1]:
                yield ratio("analyze_1e6_new", new, bare)
                yield from _largest(stage, count, bare, {n: c[-1] for n, c in costs.items()})
    yield _growth("time_growth", [cost.cpu_s for cost in costs["analyze"]])
    yield _growth("memory_growth", [cost.peak_mb for cost in costs["analyze"]])
    streams = [sum(c[n].cpu_s for name, c in costs.items() if name != "analyze") for n in range(3)]
    yield _growth("stream_growth", streams)


def _growth(key: str, values: Sequence[float]) -> Result:
    """10 times the trials: 10 to this power times as much, without what 1,000 take."""
    few, some, many = values
    growth = math.log10((many - few) / max(some - few, 1e-9))
    return Result(key, growth, f"{few:.2f}, {some:.2f} and {many:.2f} at 10³, 10⁵ and 10⁶")


def _largest(stage: Stage, count: int, bare: Cost, costs: dict[str, Cost]) -> Iterator[Result]:
    yield Result("analyze_mb", costs["analyze"].peak_mb, "")
    for name in ("fsck", *(f"export_{form}" for form in _EXPORTS)):
        yield Result(f"{name}_mb", costs[name].peak_mb, f"{costs[name].cpu_s:.0f} s")
    place = stage.repository.path
    passed(stage)  # as every ledger that passes made has been looked at before
    scenes.push_trials(stage, "speed", 10, count)
    ours = passed(stage)
    yield ratio("pass_1e6", ours, bare)
    yield Result("pass_mb", ours.peak_mb, "")
    for form in ("jsonl", "parquet"):
        file = str(place.parent / f"out.{form}")
        cost = cost_of([*EXPCI, "record", "speed", "--from", file], place)
        yield Result(f"import_{form}_mb", cost.peak_mb, f"{cost.cpu_s:.0f} s")
