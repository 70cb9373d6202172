"""Every default and every limit that a user can meet, once.

The reader of specs, the schema, `validate --explain`, the checks and the decision table take
them from here, and `tests/core/model/test_limits.py` holds docs to them. Standard library
only: trial jobs read some of them too.
"""

from __future__ import annotations

from typing import Final

# --- defaults of experiment.yml ------------------------------------------------------

RISK: Final = "normal"
WARMUP: Final = 0  # runs per arm and job
REPEAT: Final = 1  # runs of each arm a visit of a case
TIMEOUT_S: Final = 1800.0
CASE_SHARE: Final = 0.2  # of variance that is between cases, where no pilot tells

UNIT: Final = "run"
DESIGN_WITH_RUN: Final = "paired"
DESIGN_WITHOUT_RUN: Final = "blocked"
WEIGHT: Final = 1.0
TRAFFIC: Final = 1.0  # share of units that take part

ROLE: Final = "secondary"
RELATIVE_EFFECT: Final = 0.10  # `minimum_effect` and `max_regression`, as a share of control
PROPORTION_EFFECT: Final = 0.05  # the same of a proportion, in percentage points
PREFERENCE_EFFECT: Final = 0.15  # the same of a preference: better in 65 % of the pairs

INFERENCE: Final = "auto"
ALPHA: Final = 0.05
HIGH_RISK_ALPHA: Final = 0.01
POWER: Final = 0.8
MIN_TRIALS: Final = 20  # per arm
MAX_DAYS: Final = 14.0
LOOKS: Final = 5
SPENDING: Final = "obrien-fleming"
RHO: Final = 3.0
AUTO_LOOKS: Final = 20  # what `auto` becomes where the sample size is known
AUTO_SPENDING: Final = "power"
AUTO_RESERVE: Final = 0.1  # of alpha, for the trials of an extension
AUTO_PLANNED_HARM: Final = 0.9  # of the level of harm, for the planned looks

FAILURES_LEVEL: Final = 0.9  # of alpha, one-sided: a win holds with failed runs ranked last

PROMOTE: Final = "pr"
PROMOTE_AT_SHARE: Final = 0.5  # of `minimum_effect`
ROLLBACK: Final = "auto"
WATCH_DAYS: Final = 7.0
HOLDBACK: Final = 0.5

# --- defaults of expci.yml -----------------------------------------------------------

EXPERIMENTS_ROOT: Final = "experiments"
LEDGER: Final = "refs/expci/ledger"
CRON: Final = "23 * * * *"
REMOTE: Final = "origin"

HOME: Final = "expci/expci"  # the repository of actions, docs and schemas; see `init --home`

# --- bounds of what a file may state -------------------------------------------------

ALPHA_BELOW: Final = 0.5
DAYS: Final = 3650  # at most: `max_days`, `watch_days`
SAMPLE_SIZE: Final = 10**9  # at most
EVENTS: Final = 2.0**53  # of one trial at most: a float counts no further
SOURCE_ROWS: Final = "one"
SOURCES: Final = 20  # at most
SOURCE_LATE_DAYS: Final = 1  # so long a source may lag before it is an alert
WINDOW_S: Final = 365 * 86400.0  # at most: a source's `window`
DAYS_A_MONTH: Final = 365.25 / 12
RUNS_A_MONTH: Final = 1e9  # at most: `rate`
LOOKS_AT_MOST: Final = 20
RHO_AT_MOST: Final = 10
WARMUP_AT_MOST: Final = 1000
WEIGHT_AT_MOST: Final = 1e6

ID_CHARACTERS: Final = 63  # of an experiment, an arm, a slot
METRIC_NAME_CHARACTERS: Final = 64
LINE_CHARACTERS: Final = 300
TEXT_CHARACTERS: Final = 20_000
ARMS: Final = 50
METRICS: Final = 50  # each further one costs power
COVARIATES: Final = 5  # of one metric
CASES: Final = 10_000
CASE_BYTES: Final = 100_000_000  # all cases of one experiment
CASE_ID_CHARACTERS: Final = 200
MERGED_CASES: Final = 500
MERGED_LINES: Final = 5_000  # of one merge's diff; a larger one is no case
REPEATS: Final = 1000

SPEC_BYTES: Final = 1_000_000
VARIANT_BYTES: Final = 25_000_000  # all variant files of one experiment
YAML_DEPTH: Final = 12
YAML_NODES: Final = 5_000  # fifty arms and fifty metrics with all their keys have half of it

# --- bounds of one trial's record ----------------------------------------------------

RECORD_TEXT_CHARACTERS: Final = 300
RECORD_ENTRIES: Final = 100  # metrics, covariates, context keys: each
FUTURE_MINUTES: Final = 10  # a later time than this from now comes of a wrong clock

# --- constants of the statistics -----------------------------------------------------

MINIMUM_PAIRS: Final = 5  # nothing is decided under these
MINIMUM_UNITS: Final = 10  # of each arm
ALARM: Final = 0.001  # a check warns or fails at this p-value or below
HOPELESS_POWER: Final = 0.6  # under it a plan is advised against
# What a guardrail's data must say before a promotion: either is enough.
GUARDRAIL_ODDS: Final = 2.0  # how much better no loss fits them than a loss of twice the limit
GUARDRAIL_CHANCE: Final = 0.8  # of being within the limit, under a flat prior
HARM_CHANCE: Final = 0.2  # of being beyond it, from which nothing stops for lack of promise
# The winner's curse: effects are taken to be around none, by a Cauchy law of this scale.
PRIOR_SHARE: Final = 0.4  # of the planned effect: half of all effects are within it
PRIOR_WEIGHT: Final = 5  # experiments that this counts as against those of the repository's own
PAST_EXPERIMENTS: Final = 5  # decided ones from which they count
SAMPLE_SIZE_FACTOR: Final = 1.7  # what looking at any time costs, over the fixed sample
TUNED_FACTOR: Final = 1.5  # the same where the evidence is tuned to the planned effect
ADVISED_TRIALS: Final = 20  # per arm; fewer are advised against
FEW_TRIALS: Final = 10  # under it hardly any effect shows
SURE_PRIOR: Final = 0.85  # from here on: just ship it
UNSURE_PRIOR: Final = 0.6  # under it: think again
