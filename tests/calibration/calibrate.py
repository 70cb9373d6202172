"""`make calibrate`: does every method keep its promises? Writes `docs/calibration.md`.

Seeded: the same version gives the same document. Not a test: it takes minutes.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import alerts
import cases
import counts
import default_plan
import designs
import drift
import guardrails
import harm
import intervals
import kinds
import late_scores
import mistakes
import power
import rate_limits
import regions
import repeated_units
import unequal_weights

SECTIONS: Sequence[Callable[[float], str]] = (
    mistakes.section,
    default_plan.section,
    regions.section,
    unequal_weights.section,
    drift.section,
    repeated_units.section,
    cases.section,
    late_scores.section,
    rate_limits.section,
    power.section,
    harm.section,
    guardrails.section,
    alerts.section,
    intervals.section,
    kinds.section,
    counts.section,
    designs.section,
)
HEAD = """\
# Calibration

What `make calibrate` found with this version, by simulation with fixed seeds. Every share has
its Monte-Carlo standard error behind it (±), and each table says how many experiments it is
made of. A share on the wrong side of its limit by more than three standard errors is **bold**;
what that means for a plan stands under the table. How each method works:
[statistics.md](statistics.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--write", type=Path, help="the document to write")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of experiments")
    options = parser.parse_args()
    parts, began = [HEAD], time.perf_counter()
    for section in SECTIONS:
        parts.append(section(options.scale))
        print(parts[-1])
        print(f"({time.perf_counter() - began:.0f} s so far)\n", file=sys.stderr)
    if options.write is not None:
        options.write.write_text("\n".join(part.rstrip() + "\n" for part in parts))


if __name__ == "__main__":
    main()
