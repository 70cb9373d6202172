"""One experiment that the tests run: a script made faster."""

from __future__ import annotations

SPEC = """\
version: 1
name: Faster work
hypothesis: The new script cuts the work's duration by 15% within 14 days.
run: ./work.sh
arms:
  control: {}
  treatment:
    files: treatment/
metrics:
  - {name: duration_s, role: primary, direction: decrease, minimum_effect: 15%}
plan:
  min_trials: 10
  sample_size: 60
"""
FAST = "sleep 0.005\n"
