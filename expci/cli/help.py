"""The help of the command line: the verbs in groups, each with one example."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import click

DOCS = "https://github.com/expci/expci/tree/main/docs"

GROUPS: Mapping[str, tuple[str, ...]] = {
    "Set up": ("init", "doctor", "demo", "completion"),
    "Propose an experiment": ("create", "validate", "plan"),
    "Run it": ("start", "trial", "record", "assign", "pause", "resume", "extend", "stop"),
    "See how it stands": ("status", "analyze", "site", "export"),
    "Decide": ("auto", "promote", "rollback"),
    "Look after the records": ("fsck", "gc"),
}

EXAMPLES: Mapping[str, str] = {
    "init": "expci init --site",
    "doctor": "expci doctor",
    "demo": "expci demo",
    "completion": 'eval "$(expci completion bash)"',
    "create": (
        "expci create faster-build \\\n"
        "    --hypothesis 'X cuts build time by 15% within 14 days.' \\\n"
        "    --primary-metric duration_s --run ./build.sh --file build.sh"
    ),
    "validate": "expci validate faster-build --explain",
    "plan": "expci plan faster-build --effect 10%",
    "start": "expci start faster-build",
    "trial": "expci trial faster-build --pairs 3",
    "record": "expci record faster-build --arm treatment --metric duration_s=12.3",
    "assign": "expci assign faster-build --unit pr-42 --explain",
    "pause": "expci pause faster-build",
    "resume": "expci resume faster-build",
    "extend": "expci extend faster-build --days 7",
    "stop": "expci stop faster-build --learned 'The cache was never cold.'",
    "status": "expci status --all",
    "analyze": "expci analyze faster-build --full",
    "site": "expci site public",
    "export": "expci export faster-build --format csv",
    "auto": "expci auto --dry-run",
    "promote": "expci promote faster-build --merge",
    "rollback": "expci rollback faster-build --reason 'It breaks the release.'",
    "fsck": "expci fsck",
    "gc": "expci gc --ended-before 2026-01-31 --dry-run",
}


def example(verb: str) -> str:
    """The end of a verb's help."""
    return f"\b\nExample:\n  {EXAMPLES[verb]}" if verb in EXAMPLES else ""


def groups(verbs: Mapping[str, click.Command]) -> Iterator[tuple[str, list[tuple[str, str]]]]:
    """(title, rows of verb and whole summary) of each group; what no group names comes last."""
    grouped = {verb for names in GROUPS.values() for verb in names}
    rest = tuple(verb for verb in verbs if verb not in grouped)
    for title, names in [*GROUPS.items(), *([("Further", rest)] if rest else [])]:
        rows = [(name, summary_line(verbs[name])) for name in names if name in verbs]
        if rows:
            yield title, rows


def summary_line(command: click.Command) -> str:
    """The first paragraph of a verb's help, in one line."""
    return " ".join((command.help or "").split("\n\n")[0].split())
