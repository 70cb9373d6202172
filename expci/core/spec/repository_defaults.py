"""The repository's defaults: `experiments/expci.yml`."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal

from expci.core.model import limits
from expci.core.model.experiment import DEFAULTS_FILE, EXPERIMENTS_ROOT
from expci.core.model.limits import CRON, LEDGER, REMOTE
from expci.core.spec import source_address
from expci.core.spec.experiment_file import Form, read_form
from expci.core.spec.job_reader import DEFAULT_KEYS, PlainDefaults, read_plain_defaults
from expci.core.spec.schema import DefaultsFile
from expci.core.spec.strict_yaml import NotPlain
from expci.core.spec.variant_paths import path_refusal
from expci.core.spec.yaml_document import Path, Problem

# A ref that git accepts (git-check-ref-format), outside what hosts and people use
_REF = re.compile(r"refs(?:/(?!.*\.lock(?:/|$))[A-Za-z0-9_][A-Za-z0-9_.-]*)+(?<!\.)")
_TAKEN = ("refs/heads/", "refs/tags/", "refs/remotes/", "refs/pull/", "refs/notes/", "refs/stash")
_BRANCH = "refs/heads/expci-"  # a branch for the ledger, which a ruleset can keep for one App
_OURS = ("refs/expci/inbox", "refs/expci/published", "refs/expci/backup", "refs/expci/idle")
_COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
_CRON = re.compile(r"[0-9*,/-]+(?: [0-9A-Za-z*,/-]+){4}")
_WORKFLOW = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_. -]*\.ya?ml")
_PAGE = re.compile(r"https?://[A-Za-z0-9.-]+(?::\d+)?(?:/[A-Za-z0-9._~%-]+)*/?")
_CONTENT = re.compile(r"^(?!\s*(#|$))", re.MULTILINE)
_REMOTE = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_./-]*")


def _no_values() -> Form[DefaultsFile]:
    return read_form("version: 1", DEFAULTS_FILE, DefaultsFile)


@dataclass(frozen=True)
class Defaults:
    """What holds where an experiment says nothing, and where experiments stand.

    `roots` are directories relative to the repository. `transport` is how trials may arrive,
    `sources` the addresses of databases by name.
    `form` keeps the lines. With `problems` everything else is as if there were no file.
    """

    roots: tuple[str, ...] = (EXPERIMENTS_ROOT,)
    ledger: str = LEDGER
    ledger_contains: str = ""
    mirror_branch: bool = False
    remote: str = REMOTE
    transport: Literal["any", "artifact"] = "any"
    cron: str = CRON
    after_revert: tuple[str, ...] = ()
    page: str = ""
    retention_days: float | None = None
    sources: Mapping[str, str] = field(default_factory=dict)
    form: Form[DefaultsFile] = field(default_factory=_no_values)
    problems: tuple[Problem, ...] = ()


def read_defaults(text: str, file: str = DEFAULTS_FILE) -> Defaults:
    r"""Return the defaults of `text`; comments alone, or nothing (`""`), change none.

    >>> read_defaults("version: 1\nroots: [lab/]\n").roots, read_defaults("# nothing yet\n").roots
    (('lab',), ('experiments',))
    """
    if not _CONTENT.search(text):
        return Defaults()
    form = read_form(text, file, DefaultsFile)
    values = form.values
    if problems := (*form.problems, *_sense(form)) or _plain_problems(text, form):
        return Defaults(problems=problems)
    return Defaults(
        roots=tuple(root.rstrip("/") for root in values.roots or (EXPERIMENTS_ROOT,)),
        ledger=values.ledger or LEDGER,
        ledger_contains=values.ledger_contains or "",
        mirror_branch=bool(values.mirror_branch),
        remote=values.remote or REMOTE,
        transport=values.transport or "any",
        cron=values.cron or CRON,
        after_revert=tuple(values.after_revert or ()),
        page=values.page or "",
        retention_days=values.retention_days,
        sources=values.sources or {},
        form=form,
    )


def _sense(form: Form[DefaultsFile]) -> list[Problem]:
    values, problems = form.values, list[Problem]()
    for number, root in enumerate(values.roots or ()):
        if refused := path_refusal(root.rstrip("/")):
            problems.append(form.problem(("roots", number), *refused))
    if values.roots is not None and len({root.rstrip("/") for root in values.roots}) < max(
        1, len(values.roots)
    ):
        message, fix = "is empty or names a directory twice", "write `roots: [experiments]`"
        problems.append(form.problem(("roots",), message, fix))
    if values.cron is not None and not _CRON.fullmatch(values.cron):
        fix = f"write five fields: {CRON}"
        problems.append(form.problem(("cron",), f"{values.cron!a} is no schedule", fix))
    for number, name in enumerate(values.after_revert or ()):
        if not _WORKFLOW.fullmatch(name):
            fix = "write the name of its file: deploy.yml"
            problems.append(form.problem(("after_revert", number), "is no workflow's file", fix))
    if values.page is not None and not _PAGE.fullmatch(values.page):
        fix = "write its address: https://octocat.github.io/tools"
        problems.append(form.problem(("page",), "is no address of a web page", fix))
    if values.ledger_contains is not None and not _COMMIT.fullmatch(values.ledger_contains):
        fix = "write the whole id of a commit of the ledger, in quotes: `git rev-parse` prints it"
        problems.append(form.problem(("ledger_contains",), "is no commit's id", fix))
    problems += _source_problems(form)
    for key, value in (("ledger", values.ledger), ("remote", values.remote)):
        problems += _name_problems(form, (key,), value)
    return problems


def _source_problems(form: Form[DefaultsFile]) -> Iterator[Problem]:
    sources = form.values.sources or {}
    if len(sources) > limits.SOURCES:
        message = f"are more than {limits.SOURCES}"
        yield form.problem(("sources",), message, "keep those that a metric is read from")
    for name, address in sources.items():
        if not source_address.NAME.fullmatch(name):
            fix = "use letters, digits and _ -, at most 63: warehouse"
            yield form.problem(("sources", name), f"{name[:80]!a} is no name of a source", fix)
        if refused := source_address.address_refusal(address):
            yield form.problem(("sources", name), *refused)


def _plain_problems(text: str, form: Form[DefaultsFile]) -> tuple[Problem, ...]:
    """Where a trial job, which has no YAML library, refuses the file or reads it differently."""
    try:
        plain = read_plain_defaults(text)
    except NotPlain as refused:
        message = f"is YAML that a trial job does not read: {refused.message}"
        return (Problem(form.document.file, refused.line, "", message, refused.fix),)
    file = form.values
    read = PlainDefaults(
        roots=None if file.roots is None else tuple(root.rstrip("/") for root in file.roots),
        warmup=file.warmup,
        timeout_s=file.timeout,
        share=None if file.share is None else tuple(file.share),
        transport=file.transport,
        ledger=file.ledger,
        remote=file.remote,
    )
    if read == plain:
        return ()
    message = "is read differently by a trial job and by a YAML parser"
    fix = f"write {', '.join(DEFAULT_KEYS)} in one line each, texts in quotes"
    return (form.problem((), message, fix),)


def _name_problems(form: Form[DefaultsFile], path: Path, value: str | None) -> list[Problem]:
    if value is None:
        return []
    if path == ("remote",):
        fix = "write the name of a git remote: origin"
        bad = not _REMOTE.fullmatch(value) or ".." in value
        return [form.problem(path, "is not a valid remote name", fix)] if bad else []
    is_ref = _REF.fullmatch(value) and ".." not in value and value.count("/") >= 2
    is_branch = value.startswith(_BRANCH) and value.count("/") == 2
    if not is_ref or (value.startswith((*_TAKEN, *_OURS)) and not is_branch):
        fix = (
            "write a ref of its own, such as refs/expci/ledger, or a branch whose name begins with "
            "expci-: refs/heads/expci-ledger"
        )
        return [form.problem(path, f"{value!a} cannot be the ledger's ref", fix)]
    return []
