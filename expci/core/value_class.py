"""Classes of values for the trial path: what `dataclasses` makes, without its start-up.

The standard library's module imports `inspect` and compiles up to six functions a class, for which
a step of a job would wait as long as for all its other imports. Here a class gets functions that
go by its fields' names. What reads the standard library's classes (`fields`, `asdict`, msgspec)
reads these, too. Without `init=False`, order, slots and base classes that have fields.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

TYPE_CHECKING = False
if TYPE_CHECKING:
    from dataclasses import asdict, dataclass, field, replace
    from typing import Any

__all__ = ["asdict", "dataclass", "field", "replace"]
_NOTHING = object()
_FIELDS = "__value_fields__"


class _Field:
    """One field: its default or what makes it, and whether it is printed and compared."""

    __slots__ = ("compare", "default", "default_factory", "repr")

    def __init__(self, **traits: Any) -> None:
        self.default = traits.get("default", _NOTHING)
        self.default_factory = traits.get("default_factory", _NOTHING)
        self.repr: bool = traits.get("repr", True)
        self.compare: bool = traits.get("compare", True)


class _StandardFields:
    """`__dataclass_fields__`, made by the standard library when something reads it."""

    def __get__(self, _instance: object, owner: Any) -> Any:
        import dataclasses

        own: Mapping[str, _Field] = getattr(owner, _FIELDS)
        body: dict[str, Any] = {"__annotations__": owner.__annotations__}
        for name, one in own.items():
            traits = {"default": one.default, "default_factory": one.default_factory}
            given = {key: value for key, value in traits.items() if value is not _NOTHING}
            body[name] = dataclasses.field(repr=one.repr, compare=one.compare, **given)
        twin: Any = dataclasses.dataclass(type(owner.__name__, (), body))
        owner.__dataclass_fields__ = twin.__dataclass_fields__
        return twin.__dataclass_fields__


def _dataclass(cls: Any = None, /, *, frozen: bool = False) -> Any:
    """Return the class with what its fields ask for.

    >>> @dataclass(frozen=True)
    ... class Point:
    ...     x: "int"
    ...     y: "int" = 0
    >>> Point(1), Point(1) == Point(1, 0)
    (Point(x=1, y=0), True)
    """
    return _completed(cls, frozen) if cls else lambda cls: _completed(cls, frozen)


def _completed(cls: Any, frozen: bool) -> Any:
    own = {
        name: _taken_off(cls, name)
        for name, kind in cls.__annotations__.items()
        if not kind.startswith("ClassVar")
    }
    setattr(cls, _FIELDS, own)
    cls.__dataclass_fields__ = _StandardFields()
    functions = {
        "__match_args__": tuple(own),
        "__init__": _init(cls.__name__, own, hasattr(cls, "__post_init__")),
        "__repr__": _repr([name for name, one in own.items() if one.repr]),
        **_comparison([name for name, one in own.items() if one.compare], frozen=frozen),
    }
    if frozen:
        functions |= {"__setattr__": _refuse, "__delattr__": _refuse}
    for name in functions.keys() - cls.__dict__.keys():
        setattr(cls, name, functions[name])
    return cls


def _taken_off(cls: Any, name: str) -> _Field:
    """The field of that name; the class keeps its default alone."""
    given = cls.__dict__.get(name, _NOTHING)
    if not isinstance(given, _Field):
        return _Field(default=given)
    if given.default is _NOTHING:
        delattr(cls, name)
    else:
        setattr(cls, name, given.default)
    return given


def _init(owner: str, own: Mapping[str, _Field], has_more: bool) -> Callable[..., None]:
    names = tuple(own)
    defaults = {name: one.default for name, one in own.items() if one.default is not _NOTHING}
    made = ((name, one.default_factory) for name, one in own.items())
    factories = [(name, factory) for name, factory in made if factory is not _NOTHING]

    def __init__(self: Any, /, *values: Any, **named: Any) -> None:
        if len(values) > len(names) or not named.keys() <= own.keys():
            raise TypeError(f"{owner}() takes {', '.join(names)}")
        given = dict(zip(names, values, strict=False))
        if not given.keys().isdisjoint(named):
            raise TypeError(f"{owner}() got a value twice: {', '.join(given.keys() & named)}")
        given |= named
        attributes = self.__dict__
        attributes |= defaults
        attributes |= given
        for name, factory in factories:
            if name not in given:
                attributes[name] = factory()
        if len(attributes) < len(names):
            missing = [name for name in names if name not in attributes]
            raise TypeError(f"{owner}() lacks {', '.join(missing)}")
        if has_more:
            self.__post_init__()

    return __init__


def _repr(names: list[str]) -> Callable[[Any], str]:
    def __repr__(self: Any) -> str:
        values = ", ".join(f"{name}={getattr(self, name)!r}" for name in names)
        return f"{type(self).__qualname__}({values})"

    return __repr__


def _comparison(names: list[str], *, frozen: bool) -> dict[str, Callable[..., Any] | None]:
    def key(self: Any) -> tuple[Any, ...]:
        return tuple([getattr(self, name) for name in names])

    def __eq__(self: Any, other: object) -> Any:
        if other.__class__ is not self.__class__:
            return NotImplemented
        return key(self) == key(other)

    def __hash__(self: Any) -> int:
        return hash(key(self))

    return {"__eq__": __eq__, "__hash__": __hash__ if frozen else None}


def _refuse(_self: object, name: str, *_value: object) -> None:
    from dataclasses import FrozenInstanceError

    raise FrozenInstanceError(f"cannot change field {name!r}")


def _replace(instance: Any, /, **changes: Any) -> Any:
    """Return the value with some fields changed.

    >>> from expci.core.model.content import Blob
    >>> replace(Blob("100644", "ab"), oid="cd")
    Blob(mode='100644', oid='cd')
    """
    names = getattr(type(instance), _FIELDS, None)
    if names is None:
        import dataclasses

        return dataclasses.replace(instance, **changes)
    return type(instance)(**{n: getattr(instance, n) for n in names if n not in changes}, **changes)


def _asdict(instance: Any) -> Any:
    """Return the fields by name, those of values below it too; other objects are not copied.

    >>> from expci.core.model.content import Blob
    >>> asdict(Blob("100644", "ab"))
    {'mode': '100644', 'oid': 'ab'}
    """
    return _plain(instance)


def _plain(value: Any) -> Any:
    if names := getattr(type(value), _FIELDS, None):
        return {name: _plain(getattr(value, name)) for name in names}
    if isinstance(value, dict):
        return {_plain(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value))
    return value


if not TYPE_CHECKING:
    asdict, dataclass, field, replace = _asdict, _dataclass, _Field, _replace
    del _asdict, _dataclass, _replace
