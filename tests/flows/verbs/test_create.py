"""`create`: what it writes is valid, and it writes all of it or nothing."""

import os
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import jsonschema  # type: ignore[import-untyped]
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.content import File
from expci.core.model.experiment import Experiment
from expci.core.spec.json_schema import experiment_schema
from expci.core.spec.parse import read_experiment
from expci.core.spec.repository_defaults import Defaults
from expci.core.spec.yaml_document import read_document
from expci.errors import ExpciError, UsageError
from expci.flows.verbs.create import NewExperiment, create, scaffold, written
from expci.flows.verbs.validate import load_from_disk, validate
from support.properties import examples

REQUEST = NewExperiment(
    hypothesis="Caching cuts build time by 15% within 14 days.",
    primary_metric="duration_s",
    today=date(2026, 11, 22),
    id="cache",
    files=("build.sh",),
    run="./build.sh --fast 'a: b' # c",
)


@pytest.fixture
def root(tmp_path: Path) -> Path:
    (tmp_path / "build.sh").write_text("make\n")
    (tmp_path / "build.sh").chmod(0o755)
    (tmp_path / "src").mkdir()
    (tmp_path / "src/a.py").write_text("1\n")
    (tmp_path / "src/b.py").write_text("2\n")
    return tmp_path


def made(root: Path, request: NewExperiment) -> Experiment:
    result = create(root, request)
    assert validate(root).problems == ()
    tree = load_from_disk(root, result.id)
    text = tree["experiment.yml"].data.decode()
    jsonschema.validate(yaml.safe_load(text), experiment_schema())
    experiment = read_experiment(result.id, text, tree, Defaults()).experiment
    assert experiment is not None
    return experiment


def everything(root: Path) -> list[str]:
    return sorted(str(path.relative_to(root)) for path in root.rglob("*"))


def test_what_was_asked_for_is_in_the_file(root: Path) -> None:
    request = replace(REQUEST, minimum_effect="12.5%", sample_size=40, owner="octo", slot="ci")
    experiment = made(root, request)
    assert experiment.run == REQUEST.run
    assert experiment.hypothesis == REQUEST.hypothesis
    assert str(experiment.primary.minimum_effect) == "12.5%"
    assert (experiment.plan.sample_size, experiment.owner, experiment.slot) == (40, "octo", "ci")
    copy = root / "experiments/cache/treatment/build.sh"
    assert copy.read_text() == "make\n"
    assert os.access(copy, os.X_OK)


def test_a_directory_is_copied_file_by_file(root: Path) -> None:
    made(root, replace(REQUEST, files=("./src/", "build.sh")))
    assert sorted(load_from_disk(root, "cache")) == [
        "experiment.yml", "treatment/build.sh", "treatment/src/a.py", "treatment/src/b.py",
    ]  # fmt: skip


def test_the_least_that_can_be_asked_for(root: Path) -> None:
    request = NewExperiment("It is better.", "success", date(2026, 11, 22))
    experiment = made(root, request)
    assert experiment.id == "exp-20261122-001"
    assert experiment.slot == "exp-20261122-001"
    assert experiment.decision.promote == "never"
    assert create(root, replace(request, slot="other")).id == "exp-20261122-002"
    assert (
        create(root, replace(request, slot="x", taken=["exp-20261122-003"])).id
        == "exp-20261122-004"
    )


def test_commented_keys_are_valid_where_they_stand(root: Path) -> None:
    text = scaffold("cache", REQUEST, has_files=True)
    schema = experiment_schema()
    assert text.startswith(f"# yaml-language-server: $schema={schema['$id']}\n")
    lines = [
        line.replace("# ", "", 1) if line.lstrip().startswith("# ") else line
        for line in text.splitlines()[2:]
        if "How trials run" not in line
    ]
    opened = "\n".join(lines) + "\n"
    assert "promote: pr" in opened
    document = read_document(opened, "f")
    assert document.problems == ()
    jsonschema.validate(document.data, schema)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"id": "../evil"}, "not an experiment id"),
        ({"id": "Upper"}, "not an experiment id"),
        ({"files": ("nowhere",)}, "there is no such file"),
        ({"files": ("../outside",)}, "leaves the repository"),
        ({"files": ("/etc/passwd",)}, "is absolute"),
        ({"files": (".git/config",)}, "under .git"),
        ({"files": (".github/workflows/ci.yml",)}, "is a workflow"),
        ({"primary_metric": "score"}, "--direction increase"),
        ({"primary_metric": "a b_s"}, "not a valid metric name"),
        ({"minimum_effect": "15%\nrun: evil"}, "not an effect size"),
        ({"minimum_effect": "0"}, "more than zero"),
        ({"sample_size": 1}, "at least 2"),
        ({"hypothesis": "\x1b[31mred"}, r"U\+001B"),
        ({"hypothesis": "  "}, "is empty"),
        ({"direction": "up"}, "must be increase or decrease"),
    ],
)  # fmt: skip
def test_what_cannot_be_is_refused_and_nothing_is_written(
    root: Path, change: dict[str, Any], words: str
) -> None:
    before = everything(root)
    with pytest.raises(UsageError, match=words) as refused:
        create(root, replace(REQUEST, **change))
    assert everything(root) == before
    assert "\x1b" not in str(refused.value)


def test_an_existing_experiment_is_left_alone(root: Path) -> None:
    create(root, REQUEST)
    (root / "experiments/cache/experiment.yml").write_text("mine")
    with pytest.raises(UsageError, match="exists already"):
        create(root, REQUEST)
    assert (root / "experiments/cache/experiment.yml").read_text() == "mine"
    (root / "experiments/taken").mkdir()
    with pytest.raises(UsageError, match="exists already"):
        create(root, replace(REQUEST, id="taken"))


def test_links_are_not_followed(root: Path, tmp_path_factory: pytest.TempPathFactory) -> None:
    outside = tmp_path_factory.mktemp("outside")
    (root / "link").symlink_to(outside)
    (outside / "secret").write_text("s")
    for path in ("link", "link/secret"):
        with pytest.raises(ExpciError, match=r"symlink|plain file"):
            create(root, replace(REQUEST, files=(path,)))
    (root / "experiments").symlink_to(outside)
    with pytest.raises(ExpciError, match="symlink"):
        create(root, REQUEST)
    assert [path.name for path in outside.iterdir()] == ["secret"]


def test_a_failure_on_the_way_leaves_nothing(root: Path) -> None:
    (root / "experiments").write_text("a file")
    before = everything(root)
    with pytest.raises(ExpciError, match="could not be written"):
        create(root, REQUEST)
    assert everything(root) == before


TEXTS = st.text(
    st.characters(codec="utf-8", exclude_categories=("Cc", "Cf", "Cs", "Zl", "Zp")), max_size=30
)


@examples(200)
@given(
    TEXTS
    | st.sampled_from(
        ["no", "2026-01-01", "a: b", "# x", "a #b", "- x", "'", '"\\', "{}", "*a", "1.0", "~"]
    )
)
def test_any_text_is_written_so_that_it_is_read_back(text: str) -> None:
    line = f"name: {written(text)}\n"
    assert yaml.safe_load(line) == {"name": text}
    document = read_document(line, "f")
    assert document.problems == ()
    assert document.data == {"name": text}


@pytest.mark.parametrize("change", [{}, {"slot": "build", "run": None}, {"agent": "build.sh"}])
@pytest.mark.parametrize("primary", ["cost_usd", "max_rss_mb", "duration_s", "success", "score"])
def test_what_it_writes_needs_no_advice_but_on_what_it_cannot_know(
    root: Path, primary: str, change: dict[str, Any]
) -> None:
    """Only the author can change the copies, and knows what must not get worse."""
    direction = "increase" if primary == "score" else None
    draft = replace(REQUEST, primary_metric=primary, direction=direction, **change)
    create(root, replace(draft, files=() if draft.agent else draft.files))
    (advice,) = validate(root).advice.values()
    rest = [item for item in advice if "changes nothing" not in item]
    assert [item.partition(":")[0] for item in rest] == ["No guardrail but success"]


@pytest.mark.parametrize(("primary", "beside"), [("cost_usd", "score"), ("passes", "cost_usd")])
def test_the_guardrail_to_begin_with_is_another_metric_than_the_primary(
    root: Path, primary: str, beside: str
) -> None:
    """It is a comment, and makes a valid experiment as it stands; the next step names both."""
    request = replace(REQUEST, primary_metric=primary, direction="decrease", agent="build.sh")
    result = create(root, replace(request, files=()))
    assert f"{primary}=… and {beside}=…" in " ".join(result.notes)
    text = (root / "experiments/cache/experiment.yml").read_text()
    tree = {"treatment/build.sh": File("100755", b"make\n")}
    read = read_experiment("cache", text.replace("  # - {name: ", "  - {name: "), tree, Defaults())
    assert read.experiment is not None, read.problems
    assert [metric.name for metric in read.experiment.metrics][:2] == [primary, beside]
