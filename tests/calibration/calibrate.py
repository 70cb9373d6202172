"""`make calibrate`: does every method keep its promises? Writes `docs/calibration.md`.

Seeded: the same version gives the same document. Not a test: it takes minutes. Each section is kept
in `.cache/calibration` as soon as it is done, so a run that was cut off goes on after it, and two
runs of different sections can share the work; one changed line of the code begins anew.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import time
from importlib import import_module
from pathlib import Path

from tables import sections

ROOT = Path(__file__).parents[2]
KEPT = ROOT / ".cache" / "calibration"
sys.path.append(str(ROOT / "tests"))  # the sections take helpers from tests/support
SECTIONS = (
    *("mistakes", "default_plan", "regions", "unequal_weights", "drift", "repeated_units"),
    *("cases", "ranked_cases", "preferences", "late_scores", "rate_limits", "power", "harm"),
    "winners_curse",
    *("failures", "guardrails", "alerts", "intervals", "kinds", "counts", "designs"),
)
HEAD = """\
# Calibration

Results of `make calibrate` for this version, by simulation with fixed seeds. Every share is
followed by its Monte-Carlo standard error (±), and each table says how many experiments it rests
on. A share on the wrong side of its limit by more than three standard errors is **bold**; what
that means for a plan is below the table. How each method works: [statistics.md](statistics.md).
"""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="SECTION", help=", ".join(SECTIONS))
    parser.add_argument("--write", type=Path, help="the document to write, or to bring up to date")
    parser.add_argument("--scale", type=float, default=1.0, help="of the numbers of experiments")
    parser.add_argument(
        "--quick", action="store_true", help="a few experiments of each: does all of it run?"
    )
    options = parser.parse_args()
    if unknown := set(options.names) - set(SECTIONS):
        parser.error(f"no such section: {', '.join(sorted(unknown))}")
    scale = 0.0 if options.quick else options.scale
    parts: dict[str, str] = {}
    for name in options.names or SECTIONS:
        parts |= sections(_simulated(name, scale))
    if options.names and options.write is not None and options.write.exists():
        parts = {**sections(options.write.read_text()), **parts}
    document = "\n\n".join(part.strip() + "\n" for part in [HEAD, *parts.values()])
    if options.write is None:
        print(document)
    else:
        options.write.write_text(document)


def _simulated(name: str, scale: float) -> str:
    """The section, from the run that was cut off where it got so far with this code."""
    kept = KEPT / f"{name}-{scale:g}-{_fingerprint()}.md"
    if kept.exists():
        return kept.read_text()
    began = time.process_time()
    text: str = import_module(name).section(scale)
    print(f"{name}: {time.process_time() - began:.0f} s", file=sys.stderr, flush=True)
    KEPT.mkdir(parents=True, exist_ok=True)
    kept.write_text(text)
    return text


def _fingerprint() -> str:
    """Of all that a simulation runs through."""
    files = [*(ROOT / "expci" / "core").rglob("*.py"), *Path(__file__).parent.glob("*.py")]
    content = b"".join(hashlib.sha256(file.read_bytes()).digest() for file in sorted(files))
    return hashlib.sha256(content).hexdigest()[:12]


if __name__ == "__main__":
    main()
