"""A segment of trials as columns, decoded once by a form that is made for what stands in it.

A few of the segment's lines tell which names and words it has. The form takes those names and, in
fields of few words, those words alone: it checks each line as it decodes it, makes no object for
what all lines say, and fails at a line that says something else. Then a wider form reads all of
them, and after that each record is read by itself (`records.read_trials`).
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from operator import attrgetter
from typing import Annotated, Any, Literal

import msgspec
import numpy as np
from msgspec import UNSET, Meta, UnsetType

from expci.core.dataset.factor import Factor, factor
from expci.core.dataset.joining import ColumnsPart, joined_columns
from expci.core.dataset.late_values import ARRIVAL
from expci.core.dataset.moments import FloatArray
from expci.core.dataset.recorded import columns_part, is_analysed, written_milliseconds
from expci.core.dataset.trial_columns import TrialColumns
from expci.core.model import limits
from expci.core.model.arm import ID_PATTERN
from expci.core.model.trial import ARM_NAME, PLAN_ID, WORD, Mode, Status
from expci.store.ledger import records
from expci.store.ledger.records import Number, RecordId, Text, TrialLine

Word = str | None
_Time = Annotated[str, Meta(min_length=24, max_length=24)]
Words = tuple[tuple[str, tuple[Word, ...]], ...]
_SAMPLES, _FEW = 16, 8
_KINDS: dict[str, Any] = {
    "experiment": str,
    "plan": str,
    "mode": Mode,
    "arm": str,
    "unit": Text,
    "block": Text | None,
    "status": Status,
    "excluded": str | None,
}
_NUMBERS = ("seq", "order", "attempt")
_PATTERNS = {
    "experiment": re.compile(ID_PATTERN),
    "plan": PLAN_ID,
    "arm": ARM_NAME,
    "excluded": WORD,
}
_FACTORS = ("plan", "mode", "arm", "unit", "block", "status", "excluded")
_ID_LENGTH = 26
_IN_IDS = np.zeros(256, dtype=np.bool_)
_IN_IDS[[*b"0123456789ABCDEFGHJKMNPQRSTVWXYZ"]] = True


@dataclass(frozen=True)
class _Form:
    """The names in some lines. `fields` and `context` come with their words where these are few.

    With `any_words` those are no limit.
    """

    fields: Words
    context: Words
    metrics: tuple[str, ...]
    covariates: tuple[str, ...]
    any_words: bool = False

    def of(self, words: tuple[Word, ...]) -> tuple[Word, ...]:
        return () if self.any_words else words


def segment_columns(data: bytes) -> ColumnsPart:
    """The trials on the lines of a segment; a line that is no record has no row."""
    form = _form(data)
    for one in (form, replace(form, any_words=True)) if form else ():
        columns = _columns(data, one)
        if columns is not None:
            return ColumnsPart(columns, len(columns))
    portions = [columns_part(records.read_trials(lines)) for lines in records.portions(data)]
    return ColumnsPart(
        joined_columns(portions or [columns_part([])]), sum(part.lines for part in portions)
    )


def _form(data: bytes) -> _Form | None:
    """The form of what some of the lines say; `None` where they are not in expci's own form."""
    # A control character can only stand there escaped.
    if b"\\" in data or b"\r" in data or not data.endswith(b"\n"):
        return None
    starts = {data.rfind(b"\n", 0, len(data) * n // _SAMPLES) + 1 for n in range(_SAMPLES)}
    rows = records.read_trials([data[at : data.index(b"\n", at)] for at in sorted(starts)])
    lines = [row for row in rows if isinstance(row, TrialLine)]
    if len(lines) < len(rows):
        return None
    context, metrics, covariates = (
        tuple(sorted(set().union(*[getattr(row, group) for row in lines])))
        for group in ("context", "metrics", "covariates")
    )
    if max(len(context), len(metrics), len(covariates)) > limits.RECORD_ENTRIES:
        return None
    return _Form(
        tuple((name, _few(getattr(row, name) for row in lines)) for name in _KINDS),
        tuple((key, _few(row.context.get(key) for row in lines)) for key in context),
        metrics,
        covariates,
    )


def _few(words: Iterable[Word]) -> tuple[Word, ...]:
    """The words where they are few; () where each line may have its own."""
    own = set(words)
    return tuple(sorted(own, key=str)) if len(own) <= _FEW else ()


@lru_cache(maxsize=32)
def _decoder(form: _Form) -> Any:
    """A decoder of lines in the form; the names in a group are its places m0, m1, …"""
    own = [(name, form.of(words)) for name, words in form.fields]
    fields: list[Any] = [(name, Literal[words] if words else _KINDS[name]) for name, words in own]
    context = [_context_field(form.of(words)) for _, words in form.context]
    groups = (
        _group("metrics", form.metrics, [(float, np.nan)] * len(form.metrics)),
        _group("covariates", form.covariates, [_COVARIATE] * len(form.covariates)),
        _group("context", [key for key, _ in form.context], context),
    )
    fields += [(name, Number) for name in _NUMBERS]
    fields += [("v", Literal[1]), ("id", RecordId), ("started", _Time)]
    return msgspec.json.Decoder(_struct("Line", [*fields, *groups]))


_COVARIATE = float | Text | UnsetType, UNSET


def _context_field(words: tuple[Word, ...]) -> tuple[Any, ...]:
    given = tuple(word for word in words if word is not None)
    if not given:
        return Text | UnsetType, UNSET
    return (Literal[given],) if given == words else (Literal[given] | UnsetType, UNSET)


def _group(name: str, keys: Sequence[str], kinds: Sequence[tuple[Any, ...]]) -> tuple[str, Any]:
    places = [(f"m{place}", *kind) for place, kind in enumerate(kinds)]
    rename = {f"m{place}": key for place, key in enumerate(keys)}
    return name, _struct(name, places, rename)


def _struct(name: str, fields: Sequence[Any], rename: dict[str, str] | None = None) -> Any:
    options: dict[str, Any] = {"forbid_unknown_fields": True, "kw_only": True, "gc": False}
    return msgspec.defstruct(name, fields, rename=rename, **options)


def _columns(data: bytes, form: _Form) -> TrialColumns | None:
    """The columns of lines that all have the form; `None` where one has not."""
    try:
        rows = _decoder(form).decode_lines(data)
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return None
    if len(rows) != data.count(b"\n"):
        return None
    number = len(rows)
    own = {name: _words(rows, name, form.of(words)) for name, words in form.fields}
    ids = "".join([row.id for row in rows]).encode()
    started = written_milliseconds([row.started for row in rows])
    if started is None or not _are_ids(ids, number) or not _are_words(own):
        return None
    metrics = {
        name: np.array([*map(attrgetter(f"metrics.m{place}"), rows)], dtype=np.float64)
        for place, name in enumerate(form.metrics)
    }
    covariates = {
        name: [*map(attrgetter(f"covariates.m{place}"), rows)]
        for place, name in enumerate(form.covariates)
    }
    context = {
        key: _words(rows, f"context.m{place}", form.of(words))
        for place, (key, words) in enumerate(form.context)
        if is_analysed(key)
    }
    columns: dict[str, Any] = {group: {} for group in ARRIVAL}
    columns |= {name: own[name] for name in _FACTORS}
    return TrialColumns(
        position=np.arange(1, number + 1, dtype=np.int64),
        id=np.frombuffer(ids, dtype=f"S{_ID_LENGTH}"),
        started=started,
        order=np.array([row.order for row in rows], dtype=np.int64),
        attempt=np.array([row.attempt for row in rows], dtype=np.int64),
        metrics=metrics,
        covariates=_covariate_numbers(covariates),
        words=_covariate_words(covariates),
        context=context,
        **columns,
    )


def _words(rows: Sequence[Any], path: str, words: tuple[Word, ...]) -> Factor:
    """The words at a path; where the form takes only one, no line has to be asked."""
    if len(words) == 1:
        return factor(words * len(rows))
    own = [*map(attrgetter(path), rows)]
    return factor((None if word is UNSET else word for word in own) if UNSET in own else own)


def _covariate_numbers(columns: Mapping[str, Sequence[Any]]) -> dict[str, FloatArray]:
    numbers = {
        name: np.array([v if isinstance(v, float) else np.nan for v in values])
        for name, values in columns.items()
    }
    return {name: column for name, column in numbers.items() if not np.all(np.isnan(column))}


def _covariate_words(columns: Mapping[str, Sequence[Any]]) -> dict[str, Factor]:
    words = {
        name: factor(v if isinstance(v, str) else None for v in values)
        for name, values in columns.items()
    }
    return {name: column for name, column in words.items() if column.levels}


def _are_ids(ids: bytes, number: int) -> bool:
    allowed = bool(np.all(_IN_IDS[np.frombuffer(ids, dtype=np.uint8)]))
    return allowed and len(ids) == number * _ID_LENGTH


def _are_words(columns: Mapping[str, Factor]) -> bool:
    checked = ((columns[name].levels, pattern) for name, pattern in _PATTERNS.items())
    return all(pattern.fullmatch(word) for levels, pattern in checked for word in levels)
