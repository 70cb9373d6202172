"""`expci create`: a new experiment's directory, valid from the first moment."""

from __future__ import annotations

import re
import shutil
import tempfile
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from pathlib import Path

from expci.core.model import limits
from expci.core.model.content import SPEC_NAME, File
from expci.core.model.metric_kinds import Kind
from expci.core.model.metric_names import SUCCESS, direction_of, has_long_tail
from expci.core.spec.parse import read_experiment
from expci.core.spec.repository_defaults import Defaults
from expci.core.spec.schema_address import modeline
from expci.core.spec.strict_yaml import NotPlain, plain_values
from expci.core.spec.variant_paths import path_refusal
from expci.errors import ExpciError, UsageError
from expci.flows.working_tree import (
    experiments_on_disk,
    read_variant,
    refuse_links,
    repository_defaults,
)

VARIANT = "treatment"
CASES = "evals"
_NAME_LENGTH = 70
_LOGARITHMIC: Kind = "duration"
_WHY_LOGARITHMIC = "compares logarithms: costs and sizes have a long tail"


@dataclass(frozen=True)
class NewExperiment:
    """What `expci create` is to write.

    `files` are paths relative to the repository, files or directories. `minimum_effect` is
    as a user writes it (`15%`, `0.3`). `agent` is the prompt of an agent: a file to vary, tried on
    cases. `taken` are ids that exist elsewhere (the ledger).
    """

    hypothesis: str
    primary_metric: str
    today: date
    id: str | None = None
    name: str | None = None
    owner: str | None = None
    direction: str | None = None
    minimum_effect: str | None = None
    sample_size: int | None = None
    files: tuple[str, ...] = ()
    run: str | None = None
    slot: str | None = None
    agent: str | None = None
    taken: Collection[str] = ()


@dataclass(frozen=True)
class CreateResult:
    """The new experiment. `files` are its paths relative to the repository."""

    id: str
    directory: str
    files: tuple[str, ...]
    notes: tuple[str, ...]


def create(root: Path, draft: NewExperiment) -> CreateResult:
    """Write a new experiment below `root`, the top of the work tree; all of it or nothing."""
    defaults = repository_defaults(root)
    if defaults.problems:
        raise ExpciError("\n".join(map(str, defaults.problems)))
    id = _free_id(root, draft, defaults)
    place = defaults.roots[0]
    if draft.agent is not None:
        draft = _of_agent(root, draft, draft.agent)
    variant = _variant(root, draft.files)
    text = scaffold(id, draft, has_files=bool(variant))
    tree = {SPEC_NAME: File("100644", text.encode())}
    tree |= {f"{VARIANT}/{path}": file for path, file in variant.items()}
    _require_valid(id, text, tree, defaults, f"{place}/{id}/{SPEC_NAME}")
    _write(root, place, id, tree)
    files = (*(f"{place}/{id}/{path}" for path in tree), *_write_cases(root, draft))
    return CreateResult(id, f"{place}/{id}", files, tuple(_notes(id, draft)))


def _of_agent(root: Path, draft: NewExperiment, prompt: str) -> NewExperiment:
    """The draft of an experiment on a prompt: it is varied, and run on cases in the lab."""
    if draft.slot is not None:
        raise UsageError("--agent runs on cases in the lab; leave out --slot")
    if (root / CASES).exists() and not (root / CASES).is_dir():
        raise UsageError(f"{CASES} is not a directory, and the cases of --agent lie in one")
    run = draft.run or f'sh agent.sh "$EXPCI_CASE_PATH" {written(prompt)}'
    return replace(draft, files=(*draft.files, prompt), run=run)


def _write_cases(root: Path, draft: NewExperiment) -> list[str]:
    """Cases to begin with, where there are none; their paths."""
    if draft.agent is None or (root / CASES).exists():
        return []
    paths = [f"{CASES}/example-{number}/task.md" for number in range(1, limits.MINIMUM_PAIRS + 1)]
    for path in paths:
        (root / path).parent.mkdir(parents=True)
        (root / path).write_text("What the agent is asked to do. Put what is expected beside it.\n")
    return paths


def _free_id(root: Path, draft: NewExperiment, defaults: Defaults) -> str:
    """The id that was named, or the first free `exp-YYYYMMDD-NNN`."""
    taken = {*experiments_on_disk(root, defaults), *draft.taken}
    taken |= {path.name for place in defaults.roots for path in (root / place).glob("*")}
    if draft.id is None:
        numbered = (f"exp-{draft.today:%Y%m%d}-{number:03}" for number in range(1, 1000))
        free = next((id for id in numbered if id not in taken), None)
        if free is None:
            raise UsageError("999 experiments were created today; name this one: expci create ID")
        return free
    if draft.id in taken:
        raise UsageError(f"the experiment {draft.id!a} exists already; choose another id")
    return draft.id


def _variant(root: Path, paths: Sequence[str]) -> dict[str, File]:
    """Copies of the files to vary, by their path in the repository."""
    variant: dict[str, File] = {}
    for given in paths:
        path = given.removeprefix("./").rstrip("/")
        if refused := path_refusal(path):
            raise UsageError(f"--file {given!a}: {'; '.join(refused)}")
        refuse_links(root, path)
        files = read_variant(root, path)
        if not files:
            raise UsageError(
                f"--file {given!a}: there is no such file; give a path of the repository"
            )
        variant |= files
    if sum(len(file.data) for file in variant.values()) > limits.VARIANT_BYTES:
        raise UsageError("the files to vary hold more than 25 MB; vary fewer or smaller files")
    return variant


def _require_valid(
    id: str, text: str, tree: Mapping[str, File], defaults: Defaults, file: str
) -> None:
    """`UsageError` with every problem that the scaffold would have."""
    reading = read_experiment(id, text, tree, defaults, file)
    if reading.problems:
        listed = [
            f"{problem.path or 'experiment'}: {problem.message} — {problem.fix}"
            for problem in reading.problems
        ]
        raise UsageError(
            "the experiment would not be valid; nothing was written:\n  " + "\n  ".join(listed)
        )


def _write(root: Path, place: str, id: str, tree: Mapping[str, File]) -> None:
    """Write the tree beside its place, then move it there in one step."""
    refuse_links(root, place)
    home = root / place
    is_new = not home.exists()
    try:
        home.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".creating-", dir=home) as directory:
            draft = Path(directory) / id
            for path, file in tree.items():
                target = draft / path
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(file.data)
                if file.mode == "100755":
                    target.chmod(target.stat().st_mode | 0o111)
            draft.rename(home / id)
    except OSError as error:
        if is_new:
            shutil.rmtree(home, ignore_errors=True)
        raise ExpciError(f"{place}/{id} could not be written: {error.strerror}") from error


def _notes(id: str, draft: NewExperiment) -> list[str]:
    notes = []
    if draft.agent is not None:
        notes.append(
            f"Put tasks into {CASES}/, one file or directory each, and have `run` write "
            f"{draft.primary_metric}=… and {_beside(draft)[0]}=… to the file that $EXPCI_METRICS "
            "names. Then: "
            f"expci trial {id} --pilot --pairs 5"
        )
    if draft.run is None and draft.slot is None:
        notes.append(
            f"No --run or --slot was given: it waits for a workflow step with `slot: {id}`; "
            "add `run: COMMAND` for lab trials."
        )
    if draft.files:
        notes.append(f"Now change the copies in {VARIANT}/; they are what the treatment runs with.")
    else:
        notes.append(
            "No --file was given: the treatment sets a variable only. Put changed files in "
            f"{VARIANT}/ and write `files: {VARIANT}/` to ship a win."
        )
    return notes


def scaffold(id: str, draft: NewExperiment, has_files: bool) -> str:
    """The text of the new experiment.yml."""
    parts = (
        _heading(id, draft),
        _trials(id, draft),
        _arms(has_files),
        _metrics(draft),
        _rules(draft, has_files),
    )
    return "\n".join(parts)


def _heading(id: str, draft: NewExperiment) -> str:
    hypothesis = " ".join(draft.hypothesis.split())
    name = draft.name or (_shortened(hypothesis) if draft.id is None else _title(id))
    owner = f"owner: {written(draft.owner)}" if draft.owner else "# owner: octocat"
    return f"""\
{modeline("experiment")}
# `expci validate {id} --explain` checks this file and shows every effective value.
version: 1
name: {written(name)}
hypothesis: {written(hypothesis)}
{owner}
# prior: 0.7                      # how sure you are already, 0 to 1
# risk: high                      # tests at alpha 0.01
"""


def _trials(id: str, draft: NewExperiment) -> str:
    slot = draft.slot or (None if draft.run else id)
    lines = ["# How trials run: `run` in the lab, `slot` in real jobs, or both."]
    lines.append(f"run: {written(draft.run)}" if draft.run else "# run: ./build.sh")
    lines.append(f"slot: {written(slot)}" if slot else "# slot: build")
    lines.append("# setup: npm ci                   # lab: once per arm, not measured")
    lines.append("# warmup: 1                       # lab: runs discarded per arm and job")
    lines.append("# timeout: 30m")
    if draft.agent is not None:
        lines.append(f"cases: {CASES}/*                    # each file or directory is a case")
        lines.append("# must_pass: [example-1]          # cases that no promotion may break")
        lines.append("# repeats: 2                      # runs of each arm for each visit")
    return "\n".join(lines) + "\n"


def _arms(has_files: bool) -> str:
    change = (
        f"    files: {VARIANT}/             # {VARIANT}/a/b stands for a/b in the repository\n"
        "    # delete: [old/file.md]\n"
        "    # env: {MODE: parallel}\n"
        if has_files
        else "    env: {EXPERIMENT_VARIANT: treatment}\n"
        f"    # files: {VARIANT}/           # {VARIANT}/a/b stands for a/b in the repository\n"
    )
    return f"""\
arms:
  control: {{}}
  {VARIANT}:
    # description: what is different, in a few words
{change}"""


def _metrics(draft: NewExperiment) -> str:
    name = draft.primary_metric
    direction = draft.direction or direction_of(name)
    if direction is None:
        raise UsageError(
            f"the name {name!a} does not tell which direction is better; add "
            "--direction increase or --direction decrease"
        )
    effect = (draft.minimum_effect or ("5%" if name == SUCCESS else "10%")).strip()
    if not re.fullmatch(r"[0-9]+(\.[0-9]+)? ?%?", effect):
        raise UsageError(f"--minimum-effect {effect!a} is not an effect size; write 15% or 0.3")
    name_beside, rule = _beside(draft)
    kind = f"    kind: {_LOGARITHMIC}                # {_WHY_LOGARITHMIC}\n"
    return f"""\
metrics:
  - name: {written(name)}
    role: primary
{kind if has_long_tail(name) else ""}\
    direction: {written(direction)}
    minimum_effect: {effect}           # the smallest effect worth having
  # - {{name: {name_beside}, role: guardrail, {rule}}}
"""


def _beside(draft: NewExperiment) -> tuple[str, str]:
    """A guardrail to begin with, and its rule: what the primary metric is not."""
    if draft.primary_metric == "cost_usd":
        return "score", "direction: increase, max_regression: 10%"
    return "cost_usd", f"kind: {_LOGARITHMIC}, max_regression: 10%"


def _rules(draft: NewExperiment, has_files: bool) -> str:
    size = draft.sample_size
    sample = (
        f"  sample_size: {size}\n"
        if size is not None
        else ("  # sample_size: 60               # per arm, at most; by default see `expci plan`\n")
    )
    decision = (
        "# decision:\n#   promote: pr                   # pr, merge or never\n"
        if has_files
        else "decision:\n  promote: never                  # a variable alone ships nothing\n"
    )
    return f"plan:\n{sample}  max_days: 14\n{decision}"


def _title(id: str) -> str:
    """`faster-build` as a title: Faster build."""
    words = id.replace("-", " ").strip()
    return words[:1].upper() + words[1:]


def _shortened(text: str) -> str:
    if len(text) <= _NAME_LENGTH:
        return text.rstrip(".")
    return text[:_NAME_LENGTH].rpartition(" ")[0].rstrip(".,;:") + "…"


def written(text: str) -> str:
    """`text` as a YAML scalar on one line: plain where every reader takes it for that text."""
    if _is_plain(text):
        return text
    escaped = (
        text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n").replace("\t", "\\t")
    )
    return f'"{escaped}"'


def _is_plain(text: str) -> bool:
    try:
        return plain_values(f"run: {text}\n", ("run",))[0] == {"run": text}
    except NotPlain:
        return False
