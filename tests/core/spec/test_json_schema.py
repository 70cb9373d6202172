"""The published schemas: generated, strict, and every key of them documented."""

import json
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest

from expci.core.spec.json_schema import defaults_schema, experiment_schema, schema_text
from expci.core.spec.schema import ExperimentFile

DOCS = Path(__file__).parents[3] / "docs"


@pytest.mark.parametrize("name", ["experiment", "expci"])
def test_the_schemas_in_the_repository_are_the_generated_ones(name: str) -> None:
    path = DOCS / f"schema/{name}.schema.json"
    written = path.read_text()
    assert written == schema_text(name), "write it anew: make schema"
    assert json.loads(written)["$id"].endswith(f"/main/docs/schema/{path.name}")


def design_example() -> dict[str, Any]:
    """An experiment with keys of every section, as plain data."""
    return {
        "version": 1,
        "hypothesis": "It gets 15% faster within 14 days.",
        "run": "./build.sh",
        "arms": {"control": {}, "treatment": {"files": "treatment/"}},
        "metrics": [{"name": "duration_s", "role": "primary", "minimum_effect": "15%"}],
        "prior": 0.7,
        "timeout": "30m",
        "share": ["node_modules"],
        "warmup": 1,
        "plan": {"alpha": "5%", "sample_size": 60},
        "decision": {"promote_at": 0.3},
    }


def test_the_schema_takes_what_is_right_and_refuses_what_is_wrong() -> None:
    validator = jsonschema.Draft202012Validator(experiment_schema())
    validator.check_schema(experiment_schema())
    validator.check_schema(defaults_schema())
    validator.validate(design_example())
    validator.validate(design_example() | {"arms": {"control": None, "t": {"files": "t/"}}})
    wrongs: tuple[dict[str, Any], ...] = (
        {"unknown": 1},
        {"prior": 2},
        {"timeout": 30},
        {"risk": "low"},
        {"run": None},
        {"plan": {"alpha": 0.5}},
        {"metrics": []},
        {"arms": {"t": {}}},
    )
    for wrong in wrongs:
        assert not validator.is_valid(design_example() | wrong), wrong
    for key in ExperimentFile.required:
        data = design_example()
        del data[key]
        assert not validator.is_valid(data), key


def keys_of(schema: dict[str, Any], part: dict[str, Any], path: str = "") -> list[str]:
    """Every key of a JSON Schema as the documentation names it, such as `arms.*.env`."""
    names = []
    for name, inner in part.get("properties", {}).items():
        names.append(path + name)
        item = inner.get("items", inner.get("additionalProperties", inner))
        star = "" if item is inner else "*."
        item = item.get("anyOf", [item])[0]
        if "$ref" in item:
            section = schema["$defs"][item["$ref"].rpartition("/")[2]]
            names += keys_of(schema, section, f"{path}{name}.{star}")
    return names


@pytest.mark.parametrize("schema", [experiment_schema(), defaults_schema()])
def test_every_key_is_documented(schema: dict[str, Any]) -> None:
    text = (DOCS / "experiment.md").read_text()
    keys = keys_of(schema, schema)
    assert "plan.alpha" in keys
    assert [key for key in keys if f"| `{key}` |" not in text] == []


def test_all_keys_are_found() -> None:
    schema = experiment_schema()
    keys = keys_of(schema, schema)
    assert {"arms.*.env", "metrics.*.baseline.sd", "decision.holdback", "assignment.weights"} <= {
        *keys
    }
