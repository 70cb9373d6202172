"""Reading a file into its model: all problems of form at once, and what could be read.

A refused value is absent from the result and its path noted as `broken`, so that
the checks of sense that follow say nothing about it.
"""

from __future__ import annotations

import difflib
import typing
from collections.abc import Collection, Iterator
from copy import deepcopy
from dataclasses import dataclass, replace
from typing import Any, Generic, TypeVar

from pydantic import ValidationError

from expci.core.spec.field_types import as_yaml
from expci.core.spec.schema import DefaultsFile, ExperimentFile, Section
from expci.core.spec.yaml_document import Document, Path, Problem, dotted, read_document

_ROUNDS = 10  # one finds all problems, the next reads what is left; more is a safeguard

Model = TypeVar("Model", bound=Section)


@dataclass(frozen=True)
class Form(Generic[Model]):
    """What a file says, as far as it could be read. Every problem's path is in `broken`."""

    values: Model
    document: Document
    problems: tuple[Problem, ...]
    broken: frozenset[Path]

    def is_broken(self, path: Path) -> bool:
        """Whether `path`, something in it or something around it has a problem already."""
        return any(path[: len(other)] == other[: len(path)] for other in self.broken)

    def problem(self, path: Path, message: str, fix: str) -> Problem:
        line = self.document.line(path)
        return Problem(self.document.file, line, dotted(path), message, fix)

    def origin(self, path: Path) -> str:
        return f"{self.document.file}:{self.document.line(path)}"


def read_form(text: str, file: str, model: type[Model]) -> Form[Model]:
    r"""Read `text` as `model`; never raises.

    >>> from expci.core.spec.schema import ExperimentFile
    >>> form = read_form("version: 1\nhypotesis: Faster by 15%", "experiment.yml", ExperimentFile)
    >>> print(form.problems[0])
    experiment.yml:2: hypotesis: is an unknown key — did you mean `hypothesis`?
    """
    document = read_document(text, file)
    if not document.complete:
        return Form(model(), document, document.problems, frozenset([()]))
    return _Reader(document, model).read()


class _Reader(Generic[Model]):
    def __init__(self, document: Document, model: type[Model]) -> None:
        self.document, self.model = document, model
        self.problems = [self.with_example(problem) for problem in document.problems]
        self.broken = set(document.broken)
        self.data: Any = deepcopy(document.data)

    def read(self) -> Form[Model]:
        for path in sorted(self.broken, key=len):
            _remove(self.data, path)
        for path in list(_empty(self.data, ())):
            self.add(path, "has no value", f"{self.example(path)}, or remove the key")
            _remove(self.data, path)
        values = self.validated()
        for path, key in _missing(values, ()):
            if (*path, key) not in self.broken and path not in self.broken:
                self.add((*path, key), "is missing", self.example((*path, key)))
        return Form(values, self.document, tuple(self.problems), frozenset(self.broken))

    def with_example(self, problem: Problem) -> Problem:
        """For a value that YAML takes for something else: also what the key wants."""
        path = next((path for path in self.document.lines if dotted(path) == problem.path), ())
        has_example = path and str(path[-1]) in _section_at(self.model, path[:-1]).model_fields
        if not has_example or "quote it" not in problem.fix:
            return problem
        return replace(problem, fix=f"{problem.fix}; an example: {self.example(path)[6:]}")

    def add(self, path: Path, message: str, fix: str) -> None:
        line = self.document.line(path)
        self.broken.add(path)
        self.problems.append(Problem(self.document.file, line, dotted(path), message, fix))

    def validated(self) -> Model:
        """The model of what is right in the data; what is wrong becomes problems."""
        for _ in range(_ROUNDS):
            try:
                return self.model.model_validate(self.data)
            except ValidationError as error:
                errors = error.errors(include_url=False, include_input=True)
            for item in errors:
                path = _existing(self.data, item["loc"])
                if path not in self.broken:
                    self.add(path, *self.explain(path, item))
            for item in reversed(errors):
                _remove(self.data, _existing(self.data, item["loc"]))
        self.add((), "cannot be read", "compare it with one that `expci create` writes")
        return self.model()

    def explain(self, path: Path, item: Any) -> tuple[str, str]:
        """(message, fix) for one of pydantic's errors."""
        kind, context = item["type"], item.get("ctx", {})
        if kind == "refused":
            return context["message"], context["fix"] or self.example(path)
        if kind == "extra_forbidden":
            return self.explain_unknown(path)
        if kind == "literal_error":
            return self.explain_choice(path, item["input"], context["expected"])
        message = _MESSAGES.get(kind, item["msg"]).format(**context)
        return message, self.example(path)

    def explain_unknown(self, path: Path) -> tuple[str, str]:
        key, section = str(path[-1]), _section_at(self.model, path[:-1])
        keys = list(section.model_fields)
        if elsewhere := _home_of(key, self.model, path):
            return "is an unknown key here", elsewhere
        if close := difflib.get_close_matches(key, keys, n=1):
            return "is an unknown key", f"did you mean `{close[0]}`?"
        return "is an unknown key", f"remove it; possible here: {', '.join(keys)}"

    def explain_choice(self, path: Path, value: Any, expected: str) -> tuple[str, str]:
        names = expected.replace("'", "")
        choices = names.replace(" or ", ", ").split(", ")
        meant = [_MEANT.get(str(value).lower(), "")]
        close = [word for word in meant if word in choices] or difflib.get_close_matches(
            str(value).lower(), choices, n=1
        )
        fix = (
            f"did you mean `{path[-1]}: {close[0]}`?"
            if close
            else f"write `{path[-1]}: {choices[0]}`"
        )
        given = "a list or mapping" if isinstance(value, (list, dict)) else as_yaml(value)
        return f"must be {names}, not {given}", fix

    def example(self, path: Path) -> str:
        """What to write at `path`, from the key's own example."""
        while path and isinstance(path[-1], int):
            path = path[:-1]
        field = _section_at(self.model, path[:-1]).model_fields.get(str(path[-1])) if path else None
        example = field.examples[0] if field and field.examples else "value"
        return f"write `{path[-1] if path else 'key'}: {example}`"


# What other tools call a direction, a decision or an end.
_MEANT = {
    **dict.fromkeys(
        ("lower", "down", "smaller", "less", "min", "minimize", "minimise"), "decrease"
    ),
    **dict.fromkeys(("higher", "up", "bigger", "more", "max", "maximize", "maximise"), "increase"),
}
_MESSAGES = {
    "model_type": "must be a mapping of keys",
    "dict_type": "must be a mapping of keys",
    "list_type": "must be a list",
    "bool_type": "must be true or false",
    "greater_than": "must be more than {gt:g}",
    "greater_than_equal": "must be at least {ge:g}",
    "less_than": "must be less than {lt:g}",
    "less_than_equal": "must be at most {le:g}",
}


def _section_at(model: type[Section], path: Path) -> type[Section]:
    """The section that `path` leads to; the closest one around it when it leads nowhere."""
    section, parts = model, list(path)
    while parts:
        field = section.model_fields.get(str(parts.pop(0)))
        inner = _section_in(field.annotation) if field else None
        if inner is None:
            break
        section, is_container = inner
        if is_container and parts:
            parts.pop(0)  # the name of the arm, the number of the metric
    return section


def _section_in(annotation: Any) -> tuple[type[Section], bool] | None:
    """(the section in a type, whether it stands in a list or mapping)."""
    if isinstance(annotation, type) and issubclass(annotation, Section):
        return annotation, False
    for argument in typing.get_args(annotation):
        if inner := _section_in(argument):
            return inner[0], inner[1] or typing.get_origin(annotation) in (list, dict)
    return None


def _home_of(key: str, model: type[Section], path: Path) -> str | None:
    """Where a key belongs that stands in the wrong place."""
    if model is DefaultsFile and key in ExperimentFile.model_fields:
        return "it belongs in each experiment.yml"
    if model is ExperimentFile and len(path) == 1 and key in DefaultsFile.model_fields:
        return "it belongs in experiments/expci.yml"
    for name, field in model.model_fields.items():
        inner = _section_in(field.annotation)
        if inner and path[:-1] != (name,) and key in inner[0].model_fields:
            return f"put it under `{name}:`"
    return None


def _empty(data: Any, path: Path) -> Iterator[Path]:
    """The paths without a value. An arm may be empty: control changes nothing."""
    is_arm = len(path) == 2 and path[0] == "arms"
    if data is None and not is_arm:
        yield path
    items: Any = ()
    if isinstance(data, dict):
        if path == ("arms",):
            data |= {key: {} for key, value in data.items() if value is None}
        items = data.items()
    elif isinstance(data, list):
        items = enumerate(data)
    for key, value in items:
        yield from _empty(value, (*path, key))


def _existing(data: Any, location: Collection[str | int]) -> Path:
    """The part of pydantic's location that is a path of the data."""
    path: list[str | int] = []
    for part in location:
        is_there = part in data if isinstance(data, dict) else isinstance(part, int)
        if not is_there or not isinstance(data, (dict, list)):
            break
        path.append(part)
        data = data[part]  # type: ignore[index]
    return tuple(path)


def _remove(data: Any, path: Path) -> None:
    """Take a refused value out. Sections stay, empty, so that numbers and names stay right."""
    for depth, part in enumerate(path[:-1]):
        if isinstance(data, dict) and isinstance(path[depth + 1], int):
            items = data.get(str(part))
            if not isinstance(items, list) or part != "metrics":
                data.pop(str(part), None)  # a list of text with a bad item
                return
        try:
            data = data[part]
        except (KeyError, IndexError, TypeError):
            return
    last = path[-1] if path else None
    if isinstance(data, list) and isinstance(last, int) and last < len(data):
        data[last] = {}
    elif isinstance(data, dict):
        is_arm = len(path) == 2 and path[0] == "arms"
        data.pop(last, None)
        data |= {last: {}} if is_arm else {}


def _missing(value: Any, path: Path) -> Iterator[tuple[Path, str]]:
    """(section, key) of every required key that is not there."""
    if isinstance(value, Section):
        for key in value.required:
            if getattr(value, key) is None:
                yield path, key
        for key in type(value).model_fields:
            yield from _missing(getattr(value, key), (*path, key))
    elif isinstance(value, dict):
        for key, item in value.items():
            yield from _missing(item, (*path, key))
    elif isinstance(value, list):
        for number, item in enumerate(value):
            yield from _missing(item, (*path, number))
