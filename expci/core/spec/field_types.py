"""The kinds of value that a user writes in a spec, each with what to write when it is wrong.

`pydantic` calls these functions; a refusal carries `message` and `fix` in its context.
"""

from __future__ import annotations

import math
import re
from typing import Annotated, Any

from pydantic import BeforeValidator, PlainValidator, WithJsonSchema
from pydantic_core import PydanticCustomError

from expci.core.model import limits
from expci.core.model.cases import BadCases, CaseSource, read_source
from expci.core.model.experiment import Limit
from expci.core.spec.job_reader import parse_duration

# Control characters, and direction marks that make text read otherwise than it runs
# (https://trojansource.codes).
_HIDDEN = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u200b\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]"
)
_PERCENT = re.compile(r"(\d{1,6}(?:\.\d{1,12})?) ?%")
_PERCENT_SCHEMA = {"type": "string", "pattern": r"^\d+(\.\d+)? ?%$"}


def refusal(message: str, fix: str) -> PydanticCustomError:
    """Return a refusal; an empty `fix` stands for the example of the key.

    >>> refusal("is empty", "write a text").context
    {'message': 'is empty', 'fix': 'write a text'}
    """
    return PydanticCustomError("refused", "{message}", {"message": message, "fix": fix})


def as_yaml(value: Any) -> str:
    """Return a scalar as YAML would write it, cut to a readable length.

    >>> as_yaml(True), as_yaml(0.5), len(as_yaml("x" * 100))
    ('true', '0.5', 60)
    >>> as_yaml(1e-06)  # without the dot it is a text in YAML 1.1
    '1.0e-06'
    """
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return _with_dot(str(value))
    return value[:60] if isinstance(value, str) else str(value)[:60]


def _with_dot(number: str) -> str:
    return number.replace("e", ".0e") if "e" in number and "." not in number else number


def _read_text_or_empty(value: Any) -> str:
    if isinstance(value, (bool, int, float)):
        raise refusal(f"must be text, not {as_yaml(value)}", f'quote it: "{as_yaml(value)}"')
    if not isinstance(value, str):
        raise refusal("must be text", "write one text, not a list or mapping")
    if len(value) > limits.TEXT_CHARACTERS:
        raise refusal(f"is longer than {limits.TEXT_CHARACTERS} characters", "move it to a file")
    if hidden := _HIDDEN.search(value):
        raise refusal(f"holds the invisible character U+{ord(hidden[0]):04X}", "remove it")
    return value


def _read_nonempty_text(value: Any) -> str:
    value = _read_text_or_empty(value)
    if not value.strip():
        raise refusal("is empty", "write a text or remove the key")
    return str(value)


def _read_line(value: Any) -> str:
    value = _read_nonempty_text(value).strip()
    if "\n" in value or len(value) > limits.LINE_CHARACTERS:
        raise refusal(
            f"must be one line of at most {limits.LINE_CHARACTERS} characters", "make it shorter"
        )
    return str(value)


def _read_number(value: Any) -> float | int:
    if isinstance(value, bool) or not isinstance(value, (int, float, str)):
        raise refusal(f"must be a number, not {_kind(value)}", "")
    if isinstance(value, str):
        raise refusal(f"must be a number, not the text {as_yaml(value)!a}", _as_number(value))
    if not math.isfinite(value):
        raise refusal("must be a finite number", "")
    return value


def read_whole(value: Any) -> int:
    """Return a whole number; another value is refused, with the next one up as the fix.

    >>> read_whole(20)
    20
    >>> read_whole(19.5)
    Traceback (most recent call last):
    pydantic_core._pydantic_core.PydanticCustomError: must be a whole number, not 19.5
    """
    number = _read_number(value)
    if not isinstance(number, int):
        raise refusal(f"must be a whole number, not {number}", f"write {math.ceil(number)}")
    return number


def read_share(value: Any) -> float:
    """Read `50%` or 0.5 as 0.5.

    >>> read_share("50%"), read_share(0.5)
    (0.5, 0.5)
    """
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        return float(match[1]) / 100
    number = _read_number(value)
    if number > 1:
        raise refusal(
            f"must be a share from 0 to 1 or a percentage, not {number}", f"write {number}%"
        )
    return float(number)


def read_limit(value: Any) -> Limit:
    """Read `15%` as relative, 0.3 as in the metric's unit.

    >>> str(read_limit("15%")), str(read_limit(0.3))
    ('15%', '0.3')
    """
    match = _PERCENT.fullmatch(value.strip()) if isinstance(value, str) else None
    if match:
        return Limit(float(match[1]) / 100, relative=True)
    if isinstance(value, str):
        sign = "without a sign, " if value.strip().startswith(("-", "+")) else ""
        message = f"{as_yaml(value)!a} is not an effect size"
        raise refusal(message, f"write 15% or 0.3, {sign}unquoted")
    number = _read_number(value)
    if number < 0:
        raise refusal(f"must not be negative: {number}", "write the size; the direction says where")
    return Limit(float(number), relative=False)


def _read_positive_limit(value: Any) -> Limit:
    limit = read_limit(value)
    if limit.value == 0:
        raise refusal("must be more than zero", "write the smallest effect worth having: 10%")
    return limit


def read_duration(value: Any) -> float:
    """Read `30m` as seconds.

    >>> read_duration("30m")
    1800.0
    """
    if not isinstance(value, str):
        raise refusal(
            f"has no unit: {as_yaml(value)}", f"write {as_yaml(value)}s or {as_yaml(value)}m"
        )
    try:
        seconds = parse_duration(value.strip())
    except ValueError:
        message = f"{as_yaml(value)!a} is not a duration"
        raise refusal(message, "write 30m, 90s, 2h or 1h30m") from None
    if seconds <= 0:
        raise refusal("must be more than zero", "write 30m, 90s or 2h")
    return seconds


_RUNS = re.compile(r"([0-9]+(?:\.[0-9]+)?)\s*/\s*(day|week|month)")
_TIMES_A_MONTH = {"day": limits.DAYS_A_MONTH, "week": limits.DAYS_A_MONTH / 7, "month": 1.0}


def read_rate(value: Any) -> float:
    """Read `50/month` as runs a month.

    >>> read_rate("50/month"), round(read_rate("2/day"), 1)
    (50.0, 60.9)
    """
    match = _RUNS.fullmatch(value.strip()) if isinstance(value, str) else None
    if match is None:
        raise refusal(f"{as_yaml(value)!a} is not a rate", "write 50/month, 12/week or 3/day")
    rate = float(match[1]) * _TIMES_A_MONTH[match[2]]
    if not 0 < rate <= limits.RUNS_A_MONTH:
        message = f"{as_yaml(value)!a} is not a possible rate"
        raise refusal(message, "write 50/month, 12/week or 3/day")
    return rate


def _read_case_source(value: Any) -> CaseSource:
    try:
        return read_source(value)
    except BadCases as error:
        raise refusal(error.message, error.fix) from None


def _kind(value: Any) -> str:
    if isinstance(value, bool):
        return as_yaml(value)
    return "a mapping" if isinstance(value, dict) else "a list"


def _as_number(value: str) -> str:
    try:
        number = float(value)
    except ValueError:
        return ""
    if not math.isfinite(number):
        return "write a finite number"
    return f"write {_with_dot(f'{number:g}')}, without quotes"


def _limit_schema(bound: str) -> dict[str, Any]:
    return {"anyOf": [{"type": "number", bound: 0}, _PERCENT_SCHEMA]}


Text = Annotated[str, BeforeValidator(_read_nonempty_text)]
TextOrEmpty = Annotated[str, BeforeValidator(_read_text_or_empty)]
Line = Annotated[str, BeforeValidator(_read_line)]
Number = Annotated[float, BeforeValidator(_read_number), WithJsonSchema({"type": "number"})]
Whole = Annotated[int, BeforeValidator(read_whole)]
Share = Annotated[
    float,
    BeforeValidator(read_share),
    WithJsonSchema({"anyOf": [{"type": "number", "minimum": 0, "maximum": 1}, _PERCENT_SCHEMA]}),
]
Size = Annotated[Limit, PlainValidator(read_limit), WithJsonSchema(_limit_schema("minimum"))]
PositiveSize = Annotated[
    Limit, PlainValidator(_read_positive_limit), WithJsonSchema(_limit_schema("exclusiveMinimum"))
]
Cases = Annotated[
    CaseSource,
    PlainValidator(_read_case_source),
    WithJsonSchema(
        {
            "anyOf": [
                {"type": "string"},
                {
                    "type": "object",
                    "properties": {
                        "merged": {
                            "type": "integer",
                            "minimum": 1,
                            "maximum": limits.MERGED_CASES,
                        }
                    },
                    "required": ["merged"],
                    "additionalProperties": False,
                },
            ]
        }
    ),
]
Rate = Annotated[
    float,
    PlainValidator(read_rate),
    WithJsonSchema({"type": "string", "pattern": r"^\d+(\.\d+)?\s*/\s*(day|week|month)$"}),
]
Duration = Annotated[
    float,
    PlainValidator(read_duration),
    WithJsonSchema({"type": "string", "pattern": r"^(\d+d)?(\d+h)?(\d+m)?(\d+(\.\d+)?s)?$"}),
]
