"""GitHub's OpenAPI document, trimmed: what may be asked, and what an answer looks like."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any
from urllib.parse import unquote

from jsonschema import Draft202012Validator  # type: ignore[import-untyped]

PATH = Path(__file__).with_name("github.json")
# Answers that any operation may give; the document names them for some only.
ANYWHERE = {"401", "403", "404", "410", "422", "429", "500", "502", "503"}
PLACEHOLDERS = {
    "uri": "https://github.example/placeholder",
    "date-time": "2026-11-22T10:00:00Z",
}


@dataclass(frozen=True)
class Operation:
    """One method of one path. `variables` are the values in the path, unquoted."""

    id: str
    method: str
    pattern: str
    content: Mapping[str, Any]
    variables: Mapping[str, str] = field(default_factory=dict)


@cache
def document() -> dict[str, Any]:
    found: dict[str, Any] = json.loads(PATH.read_text())
    return found


def find(method: str, path: str) -> Operation | None:
    """The operation of a request; `None` for one that the document does not know."""
    for pattern, expression, methods in _patterns():
        match = expression.fullmatch(path)
        if match and method.lower() in methods:
            values = {name: unquote(value) for name, value in match.groupdict().items()}
            content = methods[method.lower()]
            return Operation(content["operationId"], method, pattern, content, values)
    return None


@cache
def _patterns() -> list[tuple[str, re.Pattern[str], Mapping[str, Any]]]:
    """Fixed paths before those with a variable at the same place."""
    rows = sorted(document()["paths"].items(), key=lambda row: row[0].replace("{", "~"))
    return [(p, re.compile(_expression(p)), m) for p, m in rows]


def _expression(pattern: str) -> str:
    """A ref at the end of a path holds slashes, as GitHub's `x-multi-segment` says."""
    whole = re.sub(r"(?<=refs/){ref}$", r"(?P<ref>.+)", pattern)
    return re.sub(r"{(\w+)}", r"(?P<\1>[^/]+)", whole)


# --- checking ----------------------------------------------------------------------------


def problems_of_request(operation: Operation, query: Mapping[str, str], body: Any) -> list[str]:
    """What GitHub does not know of in a request, or what it lacks."""
    known = {p["name"]: p for p in _resolved(operation.content.get("parameters", []))}
    found = [f"query {name!r} is not a parameter" for name in query if name not in known]
    for name, value in [*query.items(), *operation.variables.items()]:
        if name in known:
            schema = known[name]["schema"]
            typed = int(value) if schema.get("type") == "integer" and value.isdigit() else value
            found += [f"{name}: {text}" for text in _errors(schema, typed)]
    return found + _problems_of_body(operation, body)


def _problems_of_body(operation: Operation, body: Any) -> list[str]:
    declared = operation.content.get("requestBody")
    if declared is None:
        return [] if body is None else ["a body where none is taken"]
    schema = declared["content"]["application/json"]["schema"]
    if body is None:
        return ["no body"] if declared.get("required") else []
    known = _properties(schema)
    unknown = [n for n in body if n not in known] if isinstance(body, dict) and known else []
    return [f"body has {name!r}, unknown" for name in unknown] + _errors(schema, body)


def problems_of_answer(operation: Operation, status: int, body: Any) -> list[str]:
    answers = operation.content["responses"]
    if str(status) not in answers:
        return [] if str(status) in ANYWHERE else [f"status {status} is not documented"]
    content = _resolve(answers[str(status)]).get("content", {})
    if "application/json" not in content:
        return [] if body is None or status >= 400 else [f"a body where {status} has none"]
    return _errors(content["application/json"]["schema"], body)


def _errors(schema: Mapping[str, Any], value: Any) -> list[str]:
    errors = _validator(json.dumps(schema)).iter_errors(value)
    return [f"{'/'.join(map(str, e.absolute_path))}: {e.message[:300]}" for e in errors]


@cache
def _validator(schema: str) -> Any:
    whole = {**json.loads(schema), "components": document()["components"]}
    return Draft202012Validator(whole)


def _properties(schema: Mapping[str, Any]) -> set[str]:
    """The names that a body may have at its top."""
    schema = _resolve(schema)
    names = set(schema.get("properties", {}))
    for word in ("oneOf", "anyOf", "allOf"):
        for part in schema.get(word, []):
            names |= _properties(part)
    return names


def _resolved(parameters: list[Any]) -> Iterator[Mapping[str, Any]]:
    return (_resolve(parameter) for parameter in parameters)


def _resolve(node: Mapping[str, Any]) -> Mapping[str, Any]:
    while "$ref" in node:
        found: Any = document()
        for step in node["$ref"].removeprefix("#/").split("/"):
            found = found[step]
        node = found
    return node


# --- making ------------------------------------------------------------------------------


def filled(schema_name: str, /, **known: Any) -> dict[str, Any]:
    """An object of that schema: what is known, and a placeholder for what else it must have."""
    blank: dict[str, Any] = json.loads(_blank(schema_name))
    return blank | known


@cache
def _blank(name: str) -> str:
    return json.dumps(_placeholder(document()["components"]["schemas"][name]))


def _placeholder(schema: Mapping[str, Any]) -> Any:
    schema = _resolve(schema)
    kinds = schema.get("type", [])
    if "null" in kinds or any(part.get("type") == "null" for part in schema.get("anyOf", [])):
        return None
    if "enum" in schema:
        return schema["enum"][0]
    for word in ("oneOf", "anyOf", "allOf"):
        if word in schema and "properties" not in schema:
            return _placeholder(schema[word][0])
    if kinds == "object" or "properties" in schema:
        properties = schema.get("properties", {})
        return {n: _placeholder(properties[n]) for n in schema.get("required", ())}
    plain: dict[str, Any] = {"integer": 0, "number": 0, "boolean": False, "array": []}
    return plain.get(str(kinds), PLACEHOLDERS.get(schema.get("format", ""), ""))
