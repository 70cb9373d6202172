"""Claude Code's `--output-format json` and `stream-json`: one run per file.

The model is a condition of the run; from a stream the version of the command line too.

The result message stands alone, at the end of a stream, or in the array that `--verbose`
writes (Claude Code's documentation, "Run Claude Code programmatically").
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from expci.core.model.trial import Status
from expci.errors import InvalidRecord
from expci.runner.formats.reading import (
    Run,
    ToolRuns,
    finite_number,
    json_lines_of,
    json_of,
    numbers,
    shape,
    text_of,
)

_TOKENS = {
    "input_tokens": "input_tokens",
    "output_tokens": "output_tokens",
    "cache_read_tokens": "cache_read_input_tokens",
    "cache_write_tokens": "cache_creation_input_tokens",
}


def read(data: bytes) -> ToolRuns:
    """Return one run: cost, turns, tokens and times; from a stream also `tool_calls`."""
    messages = _messages(data)
    results = [item for item in messages if item.get("type") == "result"]
    if not results:
        kinds = sorted({str(item.get("type"))[:30] for item in messages})
        raise InvalidRecord(
            f"no message of type `result` in it, so the run did not end: {', '.join(kinds[:6])}"
        )
    result = results[-1]  # a session that is continued writes one per turn, each with all before
    status: Status = "failed" if result.get("is_error") else "ok"
    metrics = numbers(_values(result))
    if len(messages) > 1:
        metrics["tool_calls"] = float(len(set(_tool_calls(messages))))
    return ToolRuns([Run(metrics, status)], conditions=dict(_conditions(messages, result)))


def _conditions(
    messages: Sequence[Mapping[str, Any]], result: Mapping[str, Any]
) -> Iterator[tuple[str, str]]:
    """The model and the version: as a stream begins, else the model that cost most."""
    begin = next((item for item in messages if item.get("subtype") == "init"), {})
    usage = result.get("modelUsage")
    costs = usage if isinstance(usage, dict) else {}
    dearest = max(costs, key=lambda name: _cost(costs[name]), default=None)
    if model := begin.get("model") or dearest:
        yield "model", str(model)
    if version := begin.get("claude_code_version"):
        yield "cli_version", str(version)


def _cost(usage: Any) -> float:
    return (finite_number(usage.get("costUSD")) or 0.0) if isinstance(usage, dict) else 0.0


def _messages(data: bytes) -> Sequence[Mapping[str, Any]]:
    lines = json_lines_of(text_of(data))
    document = lines if lines else json_of(data)
    messages = document if isinstance(document, list) else [document]
    if not all(isinstance(item, dict) for item in messages):
        raise InvalidRecord(f"no messages of Claude Code in it: {shape(document)}")
    if not any("type" in item for item in messages):
        what = shape(messages[0] if messages else document)
        raise InvalidRecord(f"no messages of Claude Code in it: {what}")
    return messages


def _values(result: Mapping[str, Any]) -> dict[str, Any]:
    usage = result.get("usage")
    tokens = usage if isinstance(usage, dict) else {}
    denials = result.get("permission_denials")
    return {
        "cost_usd": result.get("total_cost_usd", result.get("cost_usd")),
        "turns": result.get("num_turns"),
        "duration_s": _seconds(result.get("duration_ms")),
        "api_s": _seconds(result.get("duration_api_ms")),
        **{name: tokens.get(key) for name, key in _TOKENS.items()},
        "permission_denials": len(denials) if isinstance(denials, list) else None,
    }


def _seconds(milliseconds: Any) -> float | None:
    value = finite_number(milliseconds)
    return None if value is None else value / 1000


def _tool_calls(messages: Sequence[Mapping[str, Any]]) -> Iterator[str]:
    """The ids of the agent's uses of tools."""
    for item in messages:
        message = item.get("message")
        content = message.get("content") if isinstance(message, dict) else None
        if item.get("type") == "assistant" and isinstance(content, list):
            parts = [part for part in content if isinstance(part, dict)]
            yield from (str(part.get("id")) for part in parts if part.get("type") == "tool_use")
