"""What README and docs promise is true: commands run, names exist, tables are the code's."""

from __future__ import annotations

import dataclasses
import os
import re
import stat
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import get_args

import pytest

from expci.cli import MODULES
from expci.core.lifecycle.transitions import ENDED, TRANSITIONS, State
from expci.core.model.events import EVENTS, Event
from expci.core.model.experiment import (
    Design,
    Direction,
    Inference,
    Role,
    Spending,
    Unit,
)
from expci.core.model.metric_kinds import Kind
from expci.core.model.results import ReasonCode, Verdict
from expci.flows.verbs.validate import validate
from support.repositories import Repository

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
REWRITE = bool(os.environ.get("EXPCI_GOLDEN"))  # now: a session fixture clears the environment
DOCS = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "SECURITY.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
PACKAGE = ROOT / "expci"


def blocks(text: str, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


@pytest.fixture
def tools(tmp_path: Path) -> Path:
    """`expci` and an editor that makes the script faster, on PATH."""
    directory = tmp_path / "bin"
    directory.mkdir()
    scripts = {
        "expci": f'exec "{sys.executable}" -m expci "$@"\n',
        "edit": "echo 'sleep 0.1' > \"$1\"\n",
    }
    for name, body in scripts.items():
        path = directory / name
        path.write_text("#!/bin/sh\n" + body)
        path.chmod(path.stat().st_mode | stat.S_IXUSR)
    return directory


def test_the_quick_start_runs_as_it_is_written(repository: Repository, tools: Path) -> None:
    repository.write("build.sh", "#!/bin/sh\nsleep 0.5\n", executable=True)
    repository.commit("A build")
    repository.push("HEAD:main")
    repository.git("branch", "--set-upstream-to", "origin/main")
    [script] = blocks(README, "sh")
    env = {**os.environ, "EDITOR": "edit", "PATH": f"{tools}:{os.environ['PATH']}"}
    done = subprocess.run(
        ["sh", "-eu"],
        input=script,
        cwd=repository.path,
        env=env,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "40 trials recorded, 40 sent" in done.stdout
    assert "faster-build: promoting" in done.stdout


def test_the_example_experiment_validates(repository: Repository) -> None:
    [example] = blocks(README, "yaml")
    repository.write("experiments/review/experiment.yml", example)
    repository.write("experiments/review/treatment/commands/review.md", "in parallel\n")
    assert validate(repository.path).problems == ()


def test_our_own_experiments_are_valid_against_this_tree() -> None:
    result = validate(ROOT)
    assert result.checked
    assert result.problems == ()


def test_every_verb_is_in_the_readme() -> None:
    table = README[README.index("## The verbs") : README.index("## How it is built")]
    for verb in (verb for verbs in MODULES.values() for verb in verbs):
        assert f"`{verb}`" in table


def test_make_has_the_targets_that_the_docs_name() -> None:
    makefile = (ROOT / "Makefile").read_text()
    named = {word for path in DOCS for word in re.findall(r"make ([a-z]+)", path.read_text())}
    targets = set(re.findall(r"^([a-z]+):", makefile, re.MULTILINE))
    words = {"a", "an", "sure", "it", "the", "one", "for", "and"}
    assert named - words <= targets


@pytest.mark.parametrize("path", DOCS, ids=lambda path: path.name)
def test_links_lead_somewhere(path: Path) -> None:
    text = path.read_text().replace("https://github.com/expci/expci/blob/main", str(ROOT))
    for target in map("".join, re.findall(r"\]\(([^)#]+)[^)]*\)|<img src=\"([^\"]+)", text)):
        if "://" not in target:
            assert (path.parent / target).exists(), target


def test_the_demo_plays_to_its_end(tmp_path: Path) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "expci", "demo", "--directory", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "faster-pack is watching" in done.stdout
    assert "+LEVEL = 4" in done.stdout
    assert "smaller-pack: stopped for harm" in done.stdout
    assert "What to type next" in done.stdout


# --- the map and the glossary ------------------------------------------------------------


def packages() -> set[str]:
    """Every package of expci that holds modules, as a path."""
    return {str(path.parent.relative_to(ROOT)) for path in PACKAGE.rglob("__init__.py")} - {"expci"}


def test_the_map_names_every_package_and_nothing_else() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    rows = set(re.findall(r"^\| `(expci/[a-z_/]+)` \|", text, re.MULTILINE))
    assert rows == packages()
    named = set(re.findall(r"`(expci/[a-z_/]+(?:\.py)?)`", text))
    assert [path for path in sorted(named) if not (ROOT / path).exists()] == []


@pytest.mark.parametrize("name", ["development.md", "architecture.md", "../CONTRIBUTING.md"])
def test_paths_in_the_docs_exist(name: str) -> None:
    text = (ROOT / "docs" / name).read_text()
    rooms = "core|store|runner|forge|report|flows|cli"
    paths = re.findall(rf"`((?:(?:{rooms})/|tests/|docs/)[a-z_/.]+)`", text)
    assert paths or "CONTRIBUTING" in name
    missing = [path for path in paths if not ((PACKAGE / path).exists() or (ROOT / path).exists())]
    assert missing == []


def glossary() -> set[str]:
    text = (ROOT / "docs" / "glossary.md").read_text()
    text = re.sub(r'<a id="[a-z]+"></a>', "", text)
    rows = re.findall(r"^\| (`[^|]+|[^|`]+?) \|", text, re.MULTILINE)
    return {word.strip(" `") for row in rows for word in row.split("`, `")}


@pytest.mark.parametrize(
    "words",
    [
        [str(state) for state in State],
        *map(get_args, (Verdict, ReasonCode, Role, Kind, Direction)),
        *map(get_args, (Unit, Design, Inference, Spending)),
    ],
    ids=lambda words: words[0],
)
def test_the_glossary_has_every_word_of_states_verdicts_codes_and_specs(
    words: list[str],
) -> None:
    assert sorted(set(words) - glossary()) == []


def test_the_glossary_is_in_order() -> None:
    text = (ROOT / "docs" / "glossary.md").read_text().partition("## States")[0]
    text = re.sub(r'<a id="[a-z]+"></a>', "", text)
    terms = re.findall(r"^\| ([a-z][^|]*?) \|", text, re.MULTILINE)[1:]
    assert terms == sorted(terms)


# What a page calls these in its sentences; verbs and other meanings of the words stay out.
TERMS = {
    "lab": r"\bthe lab\b",
    "slot": r"\bslots?\b",
    "pass": r"\b[Tt]he pass\b|\b[Aa] pass\b|\bnext \*?pass\b",
    "pair": r"\bpairs?\b",
    "ledger": r"\bledger\b",
    "arm": r"\barms?\b",
}
GUIDES = (  # short pages, read from the top; in the long ones a reader jumps to a section
    *("caching", "ci-configuration", "deterministic-metrics", "gitlab", "jenkins", "preferences"),
    *("removing", "reports", "several-arms", "treatment-in-force", "tutorial"),
)


def sentences(page: str) -> str:
    """A page without code, headings and tables; links as the words that they stand on."""
    text = re.sub(r"```.*?```", "", page, flags=re.DOTALL)
    text = re.sub(r"^(?:#|\||    ).*$", "", text, flags=re.MULTILINE)
    text = re.sub(r"\[([^\]]*)\]\((?!glossary)[^)]*\)|`[^`]*`", "", text)
    return re.sub(r"\*", "", text)


@pytest.mark.parametrize("name", GUIDES)
def test_a_term_is_linked_to_the_glossary_where_a_page_first_uses_it(name: str) -> None:
    text = sentences((ROOT / "docs" / f"{name}.md").read_text())
    text = re.sub(r"\[([^\]]*)\]\(glossary\.md#?[a-z]*\)", r"\1→", text)
    for term, words in TERMS.items():
        first = re.search(words, text)
        until = "" if first is None else text[: first.end() + 1]
        assert first is None or re.search(rf"\b{term}s?→", until), f"{term}: {first.group()!r}"


# --- sections that are made from the code ------------------------------------------------


def event_rows() -> Iterator[str]:
    yield "| event | its own fields | meaning |"
    yield "|---|---|---|"
    common = {field.name for field in dataclasses.fields(Event)}
    for word, kind in EVENTS.items():
        own = [f"`{f.name}`" for f in dataclasses.fields(kind) if f.name not in common]
        about = (kind.__doc__ or "").split("\n\n")[0].replace("\n    ", " ")
        about = "" if about.startswith(f"{kind.__name__}(") else about
        yield f"| `{word}` | {', '.join(own)} | {about} |"


def state_rows() -> Iterator[str]:
    yield "```mermaid"
    yield "stateDiagram-v2"
    yield "    [*] --> draft"
    for (state, kind), target in TRANSITIONS.items():
        if state is not target:
            yield f"    {state} --> {target}: {kind.word}"
    yield from (f"    {state} --> [*]" for state in State if state in ENDED)
    yield "```"


@pytest.mark.parametrize(("name", "rows"), [("events", event_rows), ("states", state_rows)])
def test_the_data_model_is_the_code(name: str, rows: object) -> None:
    path = ROOT / "docs" / "data-model.md"
    text = path.read_text()
    begin, end = f"<!-- {name}: generated -->", f"<!-- /{name} -->"
    before, _, rest = text.partition(begin)
    held, _, after = rest.partition(end)
    wanted = "\n" + "\n".join(rows()) + "\n"  # type: ignore[operator]
    if REWRITE:
        path.write_text(before + begin + wanted + end + after)
    else:
        assert held == wanted, "run EXPCI_GOLDEN=1 pytest tests/test_docs.py"
