"""Classes of values behave as those of the standard library, which is the reference here."""

from __future__ import annotations

import copy
import dataclasses
import pickle
from functools import cached_property
from typing import Any

import msgspec
import pytest

from expci.core.value_class import asdict, dataclass, field, replace


def classes(make: Any, part: Any, frozen: bool) -> Any:
    """The same class by either module."""

    @make(frozen=frozen)
    class Place:
        name: str
        size: int = 3
        token: str = part(default="", repr=False)
        parts: list[Any] = part(default_factory=list)
        seen: dict[str, int] = part(default_factory=dict, compare=False)

        @property
        def double(self) -> int:
            return 2 * self.size

        @cached_property
        def label(self) -> str:
            return f"{self.name}/{self.size}"

    return Place


BOTH = [
    (classes(dataclass, field, frozen), classes(dataclasses.dataclass, dataclasses.field, frozen))
    for frozen in (True, False)
]


@dataclass(frozen=True)
class Point:
    x: int
    y: float = 0.5

    def __post_init__(self) -> None:
        if self.x < 0:
            raise ValueError("x")


@pytest.mark.parametrize(("ours", "theirs"), BOTH)
@pytest.mark.parametrize(
    ("values", "named"),
    [
        (("a",), {}),
        (("a", 4), {"parts": [1]}),
        ((), {"name": "a", "token": "secret", "seen": {"b": 1}}),
        (("a", 1, "t", [], {}), {}),
    ],
)
def test_values_are_those_of_the_standard_library(
    ours: Any, theirs: Any, values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    own, other = ours(*values, **named), theirs(*values, **named)
    assert vars(own) == vars(other)
    assert repr(own) == repr(other)
    assert (own.double, own.label) == (other.double, other.label)
    assert asdict(own) == dataclasses.asdict(own) == dataclasses.asdict(other)
    assert ours.__match_args__ == theirs.__match_args__
    assert vars(replace(own, name="b")) == vars(dataclasses.replace(own, name="b"))
    assert copy.deepcopy(own) == own


@pytest.mark.parametrize(("ours", "theirs"), BOTH)
@pytest.mark.parametrize(
    ("values", "named"),
    [((), {}), (("a", 1, "", [], {}, 6), {}), (("a",), {"name": "b"}), (("a",), {"no": 1})],
)
def test_wrong_arguments_are_refused(
    ours: Any, theirs: Any, values: tuple[Any, ...], named: dict[str, Any]
) -> None:
    for made in (ours, theirs):
        with pytest.raises(TypeError):
            made(*values, **named)


@pytest.mark.parametrize(("ours", "theirs"), BOTH)
def test_what_is_compared(ours: Any, theirs: Any) -> None:
    for made in (ours, theirs):
        assert made("a") == made("a", seen={"b": 1})
        assert made("a") != made("a", token="t")
        assert made("a") != ("a", 3, "", [])
        assert made("a").parts is not made("a").parts
        assert ours("a") != theirs("a")


def test_frozen_values_have_a_hash_and_do_not_change() -> None:
    assert hash(Point(1)) == hash(Point(1, 0.5))
    assert len({Point(1), Point(1), Point(2)}) == 2
    with pytest.raises(dataclasses.FrozenInstanceError):
        Point(1).x = 2  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Point(1).x
    for made in BOTH[1]:
        assert made.__hash__ is None
        changing = made("a")
        changing.size = 9
        assert changing.double == 18


def test_a_check_after_the_start_runs() -> None:
    with pytest.raises(ValueError, match="x"):
        Point(-1)
    with pytest.raises(ValueError, match="x"):
        replace(Point(1), x=-1)


def test_other_libraries_read_them() -> None:
    point = Point(1, 2.0)
    assert dataclasses.is_dataclass(point)
    assert [(one.name, one.type) for one in dataclasses.fields(point)] == [
        ("x", "int"),
        ("y", "float"),
    ]
    data = msgspec.json.encode(point)
    assert msgspec.json.decode(data, type=Point) == point
    assert msgspec.json.decode(b'{"x": 1}', type=Point) == Point(1)
    assert pickle.loads(pickle.dumps(point)) == point
    assert replace(dataclasses.make_dataclass("Other", ["a"])(1), a=2).a == 2
