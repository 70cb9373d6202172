"""What a workflow gave an action: `INPUT_*` variables, and what follows from them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Mapping
from typing import Any

from expci.core.lazy_pattern import lazy_pattern
from expci.core.value_class import dataclass, field
from expci.errors import UsageError
from expci.runner.ci import context

_NOT_IN_A_NAME = lazy_pattern(r"[^A-Za-z0-9_.-]+")  # upload-artifact refuses some of these
_LONGEST_NAME = 63
_VARIABLE = lazy_pattern(r"[A-Z_][A-Z0-9_]*")
_LEG_LIMIT = 200


@dataclass(frozen=True)
class Inputs:
    """The inputs of all actions; "" where one was not given."""

    slot: str = ""
    experiment: str = ""
    unit: str = ""
    leg: str = ""
    path: str = "."
    status: str = ""
    metrics: str = ""
    run: str = ""
    pairs: str = "1"
    part: str = ""
    file: str = ""
    transport: str = "push"
    python: str = ""
    webhook: str = field(default="", repr=False)
    sources: str = field(default="", repr=False)
    token: str = field(default="", repr=False)
    strict: bool = False
    pinned: bool = False

    @classmethod
    def of(cls, environment: Mapping[str, str]) -> Inputs:
        given = {
            name: environment.get(f"INPUT_{name.upper()}", "").strip()
            for name in cls.__dataclass_fields__
        }
        values: dict[str, Any] = {name: value for name, value in given.items() if value}
        values["leg"] = leg(given["leg"])
        flags = {name: given[name].lower() == "true" for name in ("strict", "pinned")}
        return cls(**{**values, **flags})

    def source_variables(self) -> dict[str, str]:
        """The environment of databases: the lines NAME=VALUE of `sources`."""
        lines = [line.partition("=") for line in self.sources.splitlines() if line.strip()]
        for number, (name, separator, _) in enumerate(lines, 1):
            if not separator or not _VARIABLE.fullmatch(name):
                raise UsageError(f"line {number} of `sources:` is not NAME=VALUE; write X_URL=…")
        return {name: value for name, _, value in lines}

    def require_target(self) -> None:
        if bool(self.slot) == bool(self.experiment):
            raise UsageError("give the action one of `slot:` and `experiment:`")

    def require_transport(self) -> None:
        if self.transport not in ("artifact", "push"):
            raise UsageError(f"transport is artifact or push, not {self.transport!r}")

    def pair_count(self) -> int:
        if not self.pairs.isdecimal() or not 1 <= int(self.pairs) <= 10_000:
            raise UsageError(f"pairs is a number from 1, not {self.pairs!r}")
        return int(self.pairs)

    def artifact(self, environment: Mapping[str, str]) -> str:
        """A name that no other job, leg, attempt or step of the repository has."""
        place = context.ci_job(environment, self.leg)
        digest = hashlib.sha256(self.leg.encode()).hexdigest()[:8]
        what = _NOT_IN_A_NAME.sub("_", self.experiment or self.slot)[:_LONGEST_NAME]
        job = _NOT_IN_A_NAME.sub("_", place.job)[:_LONGEST_NAME]
        random = os.urandom(4).hex()
        return f"expci-{what}-{place.run_id}-{job}-{digest}-{place.attempt}-{random}"


def leg(given: str) -> str:
    """The matrix leg in words: the values of `toJSON(matrix)`, or what a user wrote."""
    try:
        data = json.loads(given)
    except ValueError:
        data = given
    if data is None or data == {}:
        return ""
    words = ",".join(_word(value) for value in data.values()) if isinstance(data, dict) else given
    if len(words) <= _LEG_LIMIT:
        return words
    # What is cut off must still tell two legs apart.
    return f"{words[:_LEG_LIMIT]}~{hashlib.sha256(words.encode()).hexdigest()[:8]}"


def _word(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, sort_keys=True)
