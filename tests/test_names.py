"""One name, one meaning: no public class or function name is defined in two modules.

Names of modules that are read with their module in front (`paths.trials`, `number_format.days`)
and names that one role gives to several modules (a verb's command and its flow) are not
doubles. Everything else stands in `EXCEPTIONS`, with the reason.
"""

from __future__ import annotations

import ast
from collections import defaultdict
from pathlib import Path

from expci.cli import MODULES

PACKAGE = Path(__file__).parents[1] / "expci"
VERBS = {verb for verbs in MODULES.values() for verb in verbs}

# Always read with the module in front: what is formatted, or located.
NAMESPACES = {"core/number_format", "store/ledger/paths"}

# Packages whose modules answer the same questions under the same names: one per method or kind.
FAMILIES = ("core/statistics/", "core/kinds/")

EXCEPTIONS = {
    "main": "the entry point of each command",
    "Look": "one look of an experiment; one row of the sequential engine at one look",
    "Outcome": "of an assignment, and of one look's evidence",
    "Snapshot": "the evidence at one look, and the ledger at one commit",
    "compare": "of one metric, and of its kind",
    "fetch_published": "over the network, and from a job's own copy",
    "finite": "of a recorded number, and of an interval's end",
    "inflation": "of a variance by dependence, and of a sample size by looks",
    "read": "a checkout's files, and the settings",
    "read_file": "of metrics, and of any file up to a limit",
    "run": "a step of an action",
    "running": "a mean that runs along, and the running version",
    "set_aside": "a file of a checkout, and a ref",
    "shift": "of a scenario's values, and between two samples",
}


def definitions() -> dict[str, set[str]]:
    """The modules that define each public class or function, without `expci/` and `.py`."""
    places: dict[str, set[str]] = defaultdict(set)
    for path in PACKAGE.rglob("*.py"):
        module = path.relative_to(PACKAGE).with_suffix("").as_posix()
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef | ast.FunctionDef) and node.name[0] != "_":
                places[node.name].add(module)
    return places


def is_double(name: str, modules: set[str]) -> bool:
    modules = modules - NAMESPACES
    if name in VERBS:
        modules = {module for module in modules if not module.startswith(("cli/", "flows/"))}
    families = [{m for m in modules if m.startswith(family)} for family in FAMILIES]
    outside = modules.difference(*families)
    return len(outside) + sum(1 for family in families if family) > 1


def test_each_public_name_has_one_meaning() -> None:
    doubles = {name: sorted(m) for name, m in definitions().items() if is_double(name, m)}
    assert {name: m for name, m in doubles.items() if name not in EXCEPTIONS} == {}


def test_the_search_finds_doubles() -> None:
    assert is_double("weigh", {"core/statistics/t_mixture", "report/text/tables"})
    assert is_double("say", {"report/text/phrases", "runner/ci/messages"})
    assert not is_double("weigh", {"core/statistics/t_mixture", "core/statistics/quantile"})
    assert not is_double("start", {"cli/lifecycle", "flows/verbs/start"})
    assert not is_double("trials", {"store/ledger/paths", "cli/options"})
