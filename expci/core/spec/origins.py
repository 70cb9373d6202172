"""The value of a key: the file's, else the repository's, else what it is derived from.

Each comes with its origin for `validate --explain`. What makes no sense becomes a problem
with its line; nothing is raised, so that one reading lists all of them.
"""

from __future__ import annotations

from typing import Any

from expci.core.model.experiment import Limit
from expci.core.model.metric_kinds import KINDS, Kind
from expci.core.spec.experiment_file import Form
from expci.core.spec.repository_defaults import Defaults
from expci.core.spec.schema import ExperimentFile
from expci.core.spec.yaml_document import Path, Problem, dotted


class SpecValues:
    """The values of one file over the repository's defaults, with origins and problems."""

    def __init__(self, form: Form[ExperimentFile], defaults: Defaults) -> None:
        self.form, self.defaults = form, defaults
        self.file = form.values
        self.origins: dict[str, str] = {}
        self.problems: list[Problem] = []

    def complain(self, path: Path, message: str, fix: str) -> None:
        if not self.form.is_broken(path) or not path:
            self.problems.append(self.form.problem(path, message, fix))

    def choose(self, path: Path, fallback: Any = None, because: str = "default") -> Any:
        """The file's value at `path`, else the repository's, else `fallback`."""
        for form in (self.form, self.defaults.form):
            value = value_at(form.values, path)
            if value is not None:
                self.origins[dotted(path)] = form.origin(path)
                return value
        self.origins[dotted(path)] = because
        return fallback

    def limit(self, path: Path, kind: Kind, fallback: Limit | None) -> Limit | None:
        """A limit; a proportion's is in points, so `5%` is 0.05 of the proportion itself."""
        because = "not set" if fallback is None else "default"
        limit: Limit | None = self.choose(path, fallback, because)
        if limit is None or not KINDS[kind].is_share:
            return limit
        if limit.value > 1:
            fix = (
                f"write {limit.value:g}% for percentage points"
                if limit.value <= 100
                else "write 5%"
            )
            self.complain(path, f"{limit} is more than a proportion can change", fix)
        return Limit(limit.value, relative=False)


def value_at(values: Any, path: Path) -> Any:
    """Return the value at `path` of a model; `None` where the path leads to nothing.

    >>> value_at({"metrics": [{"name": "stars"}]}, ("metrics", 0, "name"))
    'stars'
    >>> value_at({"metrics": []}, ("metrics", 3, "name")) is None
    True
    """
    for part in path:
        if isinstance(part, int):
            values = values[part] if isinstance(values, list) and part < len(values) else None
        elif isinstance(values, dict):
            values = values.get(part)
        else:
            values = getattr(values, part, None)
    return values
