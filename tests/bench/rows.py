"""What the bench measures: each row with its target, and how it was in November 2026.

A ratio is of processor time (the process and all that it starts) against the bare work, in one
run: other work on the machine counts for neither. `docs/benchmarks.md` has every row.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Row:
    """`most` is the target, `earlier` what an earlier state took; both in `unit`."""

    key: str
    what: str
    most: float | None
    earlier: str = ""
    unit: str = "×"


@dataclass(frozen=True)
class Result:
    """What was measured for a row: `None` where it could not be, and then why."""

    key: str
    value: float | None
    detail: str


ROWS = (
    Row("help", "`expci --help` / `python -c pass`", 12, "54 ×"),
    Row("version", "`expci --version` / `python -c pass`", 12, "54 ×"),
    Row("analyze_cold", "cold `expci analyze`, 20 trials × 3 metrics / bare import", 1.5, "2.25 ×"),
    Row("trial", "`expci trial ID -- true`, a pair / bare git and two work trees", 2, "3.4 ×"),
    Row("trial_git", "git processes of that trial", 12, "35", ""),
    Row("record", "`record` on the action's path / bare git", 2.5, "5.7 ×"),
    Row("assign", "`assign` on the action's path / bare git", 4, "13 ×"),
    Row("lab_tree", "lab pair in a tree of 20,000 files / git's two work trees", 1.2, "1.6 ×"),
    Row("analyze_1e3", "`expci analyze`, 1,000 trials × 3 metrics / bare work", None),
    Row("analyze_1e5", "`expci analyze`, 100,000 trials × 3 metrics / bare work", None),
    Row("analyze_1e6", "`expci analyze`, 1,000,000 trials × 3 metrics / bare work", 1.5, "40 ×"),
    Row("analyze_1e6_new", "the same in a clone that has not read those trials", 1.5, "40 ×"),
    Row("analyze_mb", "`expci analyze` of 1,000,000 trials: memory", 1000, "2,600 MB", "MB"),
    Row("pass_1e6", "a pass with 10 new beside 1,000,000 trials / bare work", 1.5, "105 ×"),
    Row("pass_mb", "that pass: memory", 1000, "4,900 MB", "MB"),
    Row("time_growth", "exponent of `analyze` time, 100,000 to 1,000,000 trials", 1.05, "", ""),
    Row("memory_growth", "exponent of its memory", 1.05, "", ""),
    Row("ten_new", "a pass with 10 new: beside 100,000 / beside 1,000 trials", 1.2, "7.3 ×"),
    Row("fsck_mb", "`fsck` of 1,000,000 trials: memory", 300, "", "MB"),
    Row("export_jsonl_mb", "`export --format jsonl` of them: memory", 300, "", "MB"),
    Row("export_csv_mb", "`export --format csv` of them: memory", 300, "", "MB"),
    Row("export_parquet_mb", "`export --format parquet` of them: memory", 300, "", "MB"),
    Row("import_jsonl_mb", "`record --from` JSON lines of them: memory", 300, "", "MB"),
    Row("import_parquet_mb", "`record --from` Parquet of them: memory", 300, "", "MB"),
    Row("stream_growth", "exponent of the time of `fsck` and `export`, to 1,000,000", 1.05, "", ""),
    Row("first_pass", "first pass over 10 experiments × 1,000 trials / bare work", 2, "27 ×"),
    Row("idle_1", "idle pass after an idle pass, 1 experiment / ls-remote and fetch", 3, "64 ×"),
    Row("idle_30", "idle pass after an idle pass, 30 experiments / ls-remote and fetch", 3, ""),
    Row("idle_100", "idle pass after an idle pass, 100 experiments / the same", 3, "556 ×"),
    Row("idle_whole", "idle pass of a new clone, 100 experiments / the same", 3, "556 ×"),
    Row("ten_in_ten", "a pass with 10 new in 10 of 30 experiments / in 10 alone", 3, "14.6 ×"),
    Row("starts_growth", "exponent of the starts of a pass, 10 to 30 experiments", 1.05, "2", ""),
    Row("writers", "64 `record` at once / 64 raw pushes", 2.5, "7.7 ×"),
    Row("bytes_per_trial", "packed history / packed data, 1,000 trials in 20 passes", 1.5, "5 ×"),
    Row("in_memory", "`analyse`, 1,000 × 1,000 × 3 in memory / gbstats", 3, "160-280 ×"),
    Row("in_memory_tea", "the same analyses / tea-tasting", None, "3-5 ×"),
    Row("in_memory_spotify", "the same analyses / spotify-confidence", None, "0.2-0.4 ×"),
    Row("in_memory_welch", "the same analyses / Welch's t in plain numpy", None),
    Row("simulation", "2,000 simulated experiments of 2 × 50 trials / bare import", 5),
)  # fmt: skip
