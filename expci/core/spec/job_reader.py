"""The executable keys of an experiment.yml, for the trial path: standard library only.

A job that runs a trial has no YAML library and must not take a command or an environment
from a place that escapes review, so it reads them from the reviewed file in its checkout.
`core/spec/parse.py` refuses an experiment that this reader and the full YAML reader read
differently; the plan's id pins the bytes, so that check holds for every later trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NoReturn

from expci.core.lazy_pattern import lazy_pattern
from expci.core.model.arm import Arm, Budget, MetricsFile
from expci.core.model.metrics_formats import FORMATS
from expci.core.spec.strict_yaml import NotPlain, plain_values
from expci.core.value_class import dataclass

if TYPE_CHECKING:
    from expci.core.model.cases import CaseSource

KEYS = (
    *("slot", "run", "setup", "warmup", "timeout", "share", "metrics_from", "budget"),
    *("arms", "cases", "repeats", "isolate", "compare"),
)

DEFAULT_KEYS = ("roots", "warmup", "timeout", "share", "transport", "ledger", "remote")

_DURATION = lazy_pattern(
    r"(?=.)(?:(\d{1,6})d)?(?:(\d{1,6})h)?(?:(\d{1,6})m)?(?:(\d{1,9}(?:\.\d+)?)s)?"
)


@dataclass(frozen=True)
class PlainSpec:
    """What a trial may execute. `None` is a key that the file leaves to the defaults.

    `timeout_s` is in seconds. `arms` are by name, in the file's order.
    """

    arms: Mapping[str, Arm]
    slot: str | None = None
    run: str | None = None
    setup: str | None = None
    warmup: int | None = None
    timeout_s: float | None = None
    share: tuple[str, ...] | None = None
    metrics_from: tuple[MetricsFile, ...] | None = None
    budget: Budget | None = None
    cases: CaseSource | None = None
    repeats: int | None = None
    isolate: bool | None = None
    compare: str | None = None


def read_plain(text: str) -> PlainSpec:
    r"""Return the executable keys of `text`; `NotPlain` names the line that cannot be read.

    >>> spec = read_plain("run: ./a.sh\ntimeout: 30m\narms: {treatment: {files: new/}}\n")
    >>> spec.run, spec.timeout_s, spec.arms["treatment"].files, spec.setup
    ('./a.sh', 1800.0, 'new/', None)
    >>> read_plain("run: *cmd\n")  # doctest: +ELLIPSIS
    Traceback (most recent call last):
    expci.core.spec.strict_yaml.NotPlain: experiment.yml:1: cannot start a plain value: '*cmd'...
    """
    values, lines = plain_values(text, KEYS)
    typed = _Typed(values, lines)
    return PlainSpec(
        arms=typed.arms(),
        slot=typed.text("slot"),
        run=typed.text("run"),
        setup=typed.text("setup"),
        warmup=typed.count("warmup"),
        timeout_s=typed.duration("timeout"),
        share=typed.texts("share"),
        metrics_from=typed.metrics_files("metrics_from"),
        budget=typed.budget("budget"),
        cases=typed.cases("cases"),
        repeats=typed.count("repeats"),
        isolate=typed.flag("isolate"),
        compare=typed.text("compare"),
    )


@dataclass(frozen=True)
class PlainDefaults:
    """What `experiments/expci.yml` says of trials. `None` where it says nothing."""

    roots: tuple[str, ...] | None = None
    warmup: int | None = None
    timeout_s: float | None = None
    share: tuple[str, ...] | None = None
    transport: str | None = None
    ledger: str | None = None
    remote: str | None = None


def read_plain_defaults(text: str) -> PlainDefaults:
    r"""Return the repository's defaults as a trial takes them; `NotPlain` as `read_plain`.

    >>> read_plain_defaults("roots: [lab/, experiments]\ntransport: artifact\n").roots
    ('lab', 'experiments')
    """
    values, lines = plain_values(text, DEFAULT_KEYS)
    typed = _Typed(values, lines)
    roots = typed.texts("roots")
    return PlainDefaults(
        roots=None if roots is None else tuple(root.rstrip("/") for root in roots),
        warmup=typed.count("warmup"),
        timeout_s=typed.duration("timeout"),
        share=typed.texts("share"),
        transport=typed.text("transport"),
        ledger=typed.text("ledger"),
        remote=typed.text("remote"),
    )


def parse_duration(text: str) -> float:
    """Return `90s`, `30m`, `2h`, `1h30m` or `1d` in seconds; `ValueError` for anything else.

    >>> parse_duration("1h30m"), parse_duration("90s")
    (5400.0, 90.0)
    """
    match = _DURATION.fullmatch(text)
    if match is None:
        raise ValueError(f"not a duration: {text!r}")
    days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    return 86400 * days + 3600 * hours + 60 * minutes + seconds


class _Typed:
    """Plain data as the types that the model asks for; another type is `NotPlain`."""

    def __init__(self, values: Mapping[str, Any], lines: Mapping[str, int]) -> None:
        self.values, self.lines = values, lines

    def refuse(self, key: str, wanted: str) -> NoReturn:
        raise NotPlain(self.lines.get(key, 1), f"`{key}` is not {wanted}", f"make it {wanted}")

    def text(self, key: str) -> str | None:
        return self.optional_text(self.values, key, key)

    def optional_text(self, values: Mapping[str, Any], name: str, key: str) -> str | None:
        value = values.get(name)
        if value is not None and not isinstance(value, str):
            self.refuse(key, f"text in `{name}`")
        return value

    def texts(self, key: str) -> tuple[str, ...] | None:
        return None if self.values.get(key) is None else self.list_of_text(self.values[key], key)

    def list_of_text(self, value: Any, key: str) -> tuple[str, ...]:
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            self.refuse(key, "a list of text")
        return tuple(value)

    def metrics_files(self, key: str) -> tuple[MetricsFile, ...] | None:
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, list) or not all(_is_metrics_file(item) for item in value):
            self.refuse(key, "a list of `{format: NAME, path: FILE}`")
        return tuple(MetricsFile(item["format"], item["path"]) for item in value)

    def budget(self, key: str) -> Budget | None:
        value = self.values.get(key)
        if value is None:
            return None
        if not isinstance(value, dict) or value.keys() != {"metric", "most"}:
            self.refuse(key, "a mapping `{metric: NAME, most: NUMBER}`")
        metric, most = value["metric"], value["most"]
        is_number = isinstance(most, (int, float)) and not isinstance(most, bool)
        if not isinstance(metric, str) or not is_number:
            self.refuse(key, "a mapping `{metric: NAME, most: NUMBER}`")
        return Budget(metric, float(most))

    def cases(self, key: str) -> CaseSource | None:
        value = self.values.get(key)
        if value is None:
            return None
        from expci.core.model.cases import BadCases, read_source

        try:
            return read_source(value)
        except BadCases:
            self.refuse(key, "a path of cases or `{merged: N}`")

    def flag(self, key: str) -> bool | None:
        value = self.values.get(key)
        if value is not None and not isinstance(value, bool):
            self.refuse(key, "true or false")
        return value

    def count(self, key: str) -> int | None:
        value = self.values.get(key)
        if value is not None and (
            isinstance(value, bool) or not isinstance(value, int) or value < 0
        ):
            self.refuse(key, "a whole number from 0")
        return value

    def duration(self, key: str) -> float | None:
        value = self.text(key)
        try:
            return None if value is None else parse_duration(value)
        except ValueError:
            self.refuse(key, "a duration such as 30m, 90s or 2h")

    def arms(self) -> dict[str, Arm]:
        return {
            name: self.arm(name, body) for name, body in self.pairs(self.values.get("arms")).items()
        }

    def pairs(self, value: Any) -> dict[str, Any]:
        if not isinstance(value, dict):
            self.refuse("arms", "a mapping of arms, each `name: {…}`")
        return value

    def arm(self, name: str, body: Any) -> Arm:
        values = {} if body is None else self.pairs(body)
        keys = {"description", "files", "patch", "delete", "env", "promote"}
        if unknown := values.keys() - keys:
            self.refuse("arms", f"free of the unknown key {min(unknown)!a}")
        env = self.pairs(values.get("env", {}))
        if not all(isinstance(item, str) for item in env.values()):
            self.refuse("arms", "a mapping whose env values are all text")
        return Arm(
            name=name,
            description=self.optional_text(values, "description", "arms") or "",
            files=self.optional_text(values, "files", "arms"),
            patch=self.optional_text(values, "patch", "arms"),
            delete=self.list_of_text(values.get("delete", []), "arms"),
            env=env,
            promote=self.optional_text(values, "promote", "arms"),
        )


def _is_metrics_file(item: Any) -> bool:
    is_mapping = isinstance(item, dict) and item.keys() == {"format", "path"}
    return is_mapping and item["format"] in FORMATS and isinstance(item["path"], str)
