"""promptfoo's `eval --output FILE.json`: each test of one prompt and provider is a run.

The unit is the test, so that the same test of both arms forms a pair.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

from expci.core.model.trial import Status
from expci.errors import InvalidRecord
from expci.runner.formats.reading import Run, ToolRuns, finite_number, json_of, numbers, shape

_ERROR = 2  # promptfoo's ResultFailureReason: 0 none, 1 an assertion, 2 an error
_UNIT_LENGTH = 80


def read(data: bytes) -> ToolRuns:
    """Return one run per test: `passed`, `score`, `cost_usd`, `latency_s`, `tokens`."""
    document = json_of(data)
    results = _results(document)
    columns = {_column(item): item for item in results}
    if len(columns) > 1:
        names = ", ".join(_named(item) for item in list(columns.values())[:4])
        raise InvalidRecord(
            f"it holds {len(columns)} prompts or providers ({names}), and a file is of one arm: "
            "evaluate each arm into a file of its own (promptfoo eval --filter-providers …)"
        )
    runs = [_run(item) for item in results]
    passed = [run.metrics["passed"] for run in runs]
    return ToolRuns(runs, {"pass_rate": sum(passed) / len(passed)})


def _results(document: Any) -> list[Mapping[str, Any]]:
    outer = document.get("results") if isinstance(document, dict) else None
    results = outer.get("results") if isinstance(outer, dict) else None
    if not isinstance(results, list) or not results:
        raise InvalidRecord(f"no `results` of promptfoo in it: {shape(document)}")
    if not all(isinstance(item, dict) and "success" in item for item in results):
        raise InvalidRecord(f"a result of promptfoo without `success`: {shape(results[0])}")
    return results


def _column(result: Mapping[str, Any]) -> tuple[str, str]:
    prompt = result.get("prompt")
    label = prompt.get("label") if isinstance(prompt, dict) else None  # `raw` has its variables in
    return str(result.get("promptIdx", label)), str(_provider(result))


def _provider(result: Mapping[str, Any]) -> Any:
    provider = result.get("provider")
    return provider.get("id") if isinstance(provider, dict) else provider


def _named(result: Mapping[str, Any]) -> str:
    return f"prompt {result.get('promptIdx')} with {str(_provider(result))[:40]}"


def _run(result: Mapping[str, Any]) -> Run:
    usage = result.get("tokenUsage")
    milliseconds = finite_number(result.get("latencyMs"))
    metrics = numbers(
        {
            "passed": float(result.get("success") is True),
            "score": result.get("score"),
            "cost_usd": result.get("cost"),
            "latency_s": None if milliseconds is None else milliseconds / 1000,
            "tokens": usage.get("total") if isinstance(usage, dict) else None,
        }
    )
    status: Status = "error" if result.get("failureReason") == _ERROR else "ok"
    return Run(metrics, status, _unit(result))


def _unit(result: Mapping[str, Any]) -> str:
    case = result.get("testCase")
    description = case.get("description") if isinstance(case, dict) else None
    unit = description if isinstance(description, str) else ""
    return f"test-{_number(result)} {unit}".strip()[:_UNIT_LENGTH]


def _number(result: Mapping[str, Any]) -> str:
    """The test's number, or what stands for it where an older version writes none."""
    if (number := result.get("testIdx")) is not None:
        return str(number)
    variables = json.dumps(result.get("vars"), sort_keys=True, ensure_ascii=True)
    return hashlib.sha256(variables.encode()).hexdigest()[:8]
