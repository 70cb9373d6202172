"""The published JSON Schemas of `experiment.yml` and `expci.yml`: `docs/schema/*.schema.json`."""

from __future__ import annotations

import json
from copy import deepcopy
from typing import Any

import yaml
from pydantic.json_schema import GenerateJsonSchema, JsonSchemaValue

from expci.core.model.experiment import CONTROL
from expci.core.spec.schema import (
    ArmSection,
    AssignmentDefaults,
    AssignmentSection,
    BaselineSection,
    BudgetSection,
    DecisionSection,
    DefaultsFile,
    ExperimentFile,
    MetricSection,
    MetricsFileSection,
    PlanSection,
    Section,
    SourceSection,
)
from expci.core.spec.schema_address import schema_address

SCHEMA_ID = "https://json-schema.org/draft/2020-12/schema"


class _Generator(GenerateJsonSchema):
    """Optional keys are keys that may be absent, not keys that may be null."""

    def nullable_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])

    def default_schema(self, schema: Any) -> JsonSchemaValue:
        return self.generate_inner(schema["schema"])


def experiment_schema() -> dict[str, Any]:
    """Return the JSON Schema of `experiment.yml`.

    >>> schema = experiment_schema()
    >>> schema["title"], schema["required"]
    ('expci experiment', ['version', 'hypothesis', 'arms', 'metrics'])
    """
    schema = ExperimentFile.model_json_schema(schema_generator=_Generator)
    return _document("experiment", _completed(schema, "expci experiment"))


def defaults_schema() -> dict[str, Any]:
    """Return the JSON Schema of `expci.yml`.

    >>> defaults_schema()["properties"]["transport"]["enum"]
    ['any', 'artifact']
    """
    schema = DefaultsFile.model_json_schema(schema_generator=_Generator)
    return _document("expci", _completed(schema, "expci repository defaults"))


def _document(name: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"$schema": SCHEMA_ID, "$id": schema_address(name), **schema}


_BOUNDS = {
    "gt": "exclusiveMinimum",
    "ge": "minimum",
    "lt": "exclusiveMaximum",
    "le": "maximum",
}
_SECTIONS: tuple[type[Section], ...] = (
    BaselineSection,
    SourceSection,
    MetricSection,
    MetricsFileSection,
    BudgetSection,
    ArmSection,
    AssignmentDefaults,
    AssignmentSection,
    PlanSection,
    DecisionSection,
    ExperimentFile,
    DefaultsFile,
)


def _completed(schema: dict[str, Any], title: str) -> dict[str, Any]:
    """`schema` with what pydantic leaves out: required keys, bounds and examples as values."""
    required = {section.__name__: list(section.required) for section in _SECTIONS}
    for name, part in (*schema.get("$defs", {}).items(), (schema["title"], schema)):
        part.update({"required": required[name]} if required[name] else {})
        part.pop("description", None)
        part["properties"] = {key: _property(value) for key, value in part["properties"].items()}
    if "arms" in schema["properties"]:
        arms = schema["properties"]["arms"]
        arms |= {"required": [CONTROL], "minProperties": 2}
        arms["additionalProperties"] = {"anyOf": [arms["additionalProperties"], {"type": "null"}]}
        schema["properties"]["metrics"]["minItems"] = 1
    return schema | {"title": title}


def _property(schema: dict[str, Any]) -> dict[str, Any]:
    kept = {key: value for key, value in schema.items() if key not in (*_BOUNDS, "title")}
    completed = deepcopy(kept)  # the alternatives of one type are shared between its keys
    bounds = {_BOUNDS[key]: schema[key] for key in _BOUNDS if key in schema}
    target = completed["anyOf"][0] if "anyOf" in completed else completed
    for key, bound in bounds.items():
        target.pop(key.replace("exclusiveM", "m"), None)
        target[key] = bound
    completed["examples"] = [yaml.safe_load(example) for example in schema["examples"]]
    return completed


def schema_text(name: str) -> str:
    """Return `docs/schema/NAME.schema.json` as it must be in the repository.

    >>> schema_text("experiment").splitlines()[1]
    '  "$schema": "https://json-schema.org/draft/2020-12/schema",'
    """
    schema = {"experiment": experiment_schema, "expci": defaults_schema}[name]()
    return json.dumps(schema, indent=2, ensure_ascii=False) + "\n"
