"""What a job reads of an experiment: its arms, its budget, the files of its tools.

Apart from `experiment`, so that no job waits for the rest of the model. Standard library only.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType

from expci.core.model import limits
from expci.core.model.metrics_formats import MetricsFormat
from expci.core.value_class import dataclass, field

CONTROL = "control"
ID_PATTERN = r"[a-z0-9][a-z0-9-]{0,62}"
EXPERIMENTS_ROOT = limits.EXPERIMENTS_ROOT
DEFAULTS_FILE = f"{EXPERIMENTS_ROOT}/expci.yml"


@dataclass(frozen=True)
class Arm:
    """`control` or a treatment; what it changes against the plan's base.

    `files`, `patch` and `promote` are paths relative to the experiment's directory,
    `delete` are paths relative to the repository.
    """

    name: str
    description: str = ""
    files: str | None = None
    patch: str | None = None
    delete: tuple[str, ...] = ()
    env: Mapping[str, str] = field(default_factory=dict)
    promote: str | None = None

    def __post_init__(self) -> None:
        object.__setattr__(self, "env", MappingProxyType(dict(self.env)))


@dataclass(frozen=True)
class MetricsFile:
    """A file that the measured command's own tool writes; `path` is relative to the work tree."""

    format: MetricsFormat
    path: str


@dataclass(frozen=True)
class Budget:
    """At most so much of a metric, summed over the trials of all arms of one plan."""

    metric: str
    most: float
