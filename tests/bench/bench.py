"""`make bench`: what a user waits for, as ratios against the bare work on the same machine.

Prints each row with its target and keeps what was measured; `--write FILE` makes the document of
all that is kept. `--only GROUP` measures a part. Ends with exit code 1 where a target is missed and
`--check` was given.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

TESTS = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(TESTS))

from bench import ledgers, memory, passes, verbs  # noqa: E402
from bench.rows import ROWS, Result, Row  # noqa: E402

GROUPS: Mapping[str, Callable[[], Iterator[Result]]] = {
    "start": verbs.start,
    "trial": verbs.trial,
    "memory": memory.in_memory,
    "simulation": memory.simulation,
    "bytes": passes.bytes_per_trial,
    "first": passes.first_pass,
    "ten": passes.ten_new,
    "writers": passes.writers,
    "tree": verbs.lab_tree,
    "idle": passes.idle,
    "ledgers": ledgers.analysis,
}
KEPT = TESTS.parent / ".cache/bench.json"
HEAD = """\
# Benchmarks

What users wait for: `make bench` measures the verbs that they run. A ratio compares the processor
time of a process and all its children with that of the bare work: the same git commands in a
shell, the same bytes through msgspec and numpy, the same import. Both sides alternate in one run,
so that other work on the machine affects both alike; of several rounds the ratio is the median.
*Earlier* is the state of November 2026 before this table existed, *must be* the target.

"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--check", action="store_true", help="exit with 1 where a target is missed")
    parser.add_argument("--only", nargs="+", choices=[*GROUPS], default=[*GROUPS])
    parser.add_argument("--write", type=Path, metavar="FILE", help="the document of all results")
    options = parser.parse_args()
    began, missed = time.monotonic(), False
    rows = {row.key: row for row in ROWS}
    for name in options.only:
        for result in GROUPS[name]():
            keep(result)
            print(line(rows[result.key], result), flush=True)
            missed |= _is_missed(rows[result.key], result)
    print(f"{time.monotonic() - began:.0f} s")
    if options.write:
        options.write.write_text(document(kept()))
    return int(options.check and missed)


def _is_missed(row: Row, result: Result) -> bool:
    return row.most is not None and (result.value is None or result.value > row.most)


def line(row: Row, result: Result) -> str:
    target = "" if row.most is None else f"  (target {number(row.most, row.unit)})"
    value = "—" if result.value is None else number(result.value, row.unit)
    return f"{row.what:<75} {value:>10}{target}\n    {result.detail}"


def number(value: float, unit: str) -> str:
    digits = f"{value:,.0f}" if value >= 100 else f"{value:.3g}"
    return f"{digits} {unit}".strip()


def keep(result: Result) -> None:
    results = kept() | {result.key: asdict(result) | {"on": commit(), "at": today()}}
    KEPT.parent.mkdir(exist_ok=True)
    KEPT.write_text(json.dumps(results, indent=1))


def kept() -> dict[str, dict[str, object]]:
    return dict(json.loads(KEPT.read_text())) if KEPT.exists() else {}


def commit() -> str:
    words = ["git", "rev-parse", "--short=10", "HEAD"]
    return subprocess.run(
        words, cwd=TESTS, capture_output=True, text=True, check=True
    ).stdout.strip()


def today() -> str:
    return datetime.now(UTC).date().isoformat()


def machine() -> str:
    """Processors, memory and versions, as far as the system tells."""
    info = Path("/proc/cpuinfo")
    rows = info.read_text().splitlines() if info.exists() else []
    names = [row.partition(":")[2].strip() for row in rows if row.startswith("model name")]
    model = names[0] if names else platform.processor()
    memory_gb = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 1e9
    git = subprocess.run(["git", "--version"], capture_output=True, text=True, check=True).stdout
    return (
        f"{len(os.sched_getaffinity(0))} processors ({model}), {memory_gb:.0f} GB, "
        f"{platform.system()} {platform.release().split('-')[0]}, Python "
        f"{platform.python_version()}, {git.strip()}"
    )


def document(results: Mapping[str, Mapping[str, object]]) -> str:
    table = ["| measure | earlier | must be | measured | | detail |", "|---|---|---|---|---|---|"]
    for row in ROWS:
        result = results.get(row.key)
        value = result["value"] if result else None
        most = "" if row.most is None else f"≤ {number(row.most, row.unit)}"
        cell, verdict = "not measured", ""
        if isinstance(value, int | float):
            cell = number(value, row.unit)
            verdict = "" if row.most is None else ("reached" if value <= row.most else "missed")
        detail = f"{result['detail']} ({result['on']})".strip() if result else ""
        table.append(f"| {row.what} | {row.earlier} | {most} | {cell} | {verdict} | {detail} |")
    days = sorted({str(result["at"]) for result in results.values()})
    note = f"Measured on {', '.join(days)}: {machine()}. The commit stands behind each detail.\n\n"
    return HEAD + note + "\n".join(table) + "\n" + TAIL


TAIL = """
The figures above come from partial runs on a machine overloaded with other work: the ratios by
the clock are rough, and the time of a whole run was not measured. The bench has the measure of
each row that says *not measured*; `make bench ONLY='ledgers tree idle'` fills them. Some sizes
are smaller than those of the targets: passes over 1, 30 and 100 experiments in place of 1,000, 64
writers in place of 256, 10 × 1,000 trials in a first pass. Slow peers (tea-tasting,
spotify-confidence) analyse 20 experiments, and their time is scaled. Install the peers with
`pip install '.[bench]'`, in a separate environment if their versions of numpy and pandas conflict
(`EXPCI_BENCH_PEERS=…/bin/python make bench`); without the peers their rows say so.
"""


if __name__ == "__main__":
    sys.exit(main())
