"""Whatever people write, a report shows it and does nothing else with it."""

from __future__ import annotations

import re
import unicodedata
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import Any

import jinja2.nodes
import pytest
from hypothesis import assume, example, given
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from markdown_it.token import Token

from expci.core.lifecycle.transitions import Life, fold
from expci.core.model import events
from expci.core.model.experiment import Arm, Experiment
from expci.core.model.results import Analysis, Check, Decision, TrialCounts
from expci.core.spec.yaml_document import Problem
from expci.report.documents import render
from expci.report.documents.answer import AnsweredExperiment, answer_comment
from expci.report.documents.environment import environment
from expci.report.documents.proposal import (
    FileChange,
    Proposal,
    ProposingPullRequest,
    design_comment,
)
from expci.report.sections.portfolio_row import PortfolioRow
from expci.report.text import escape
from support import report_samples as samples
from support.properties import examples

NASTY = [
    "@octocat",
    "#1",
    "GH-12",
    "o/r#3",
    "<b>",
    "<!-- expci:report:x -->",
    "-->",
    "</details>",
    "<script>",
    "https://evil.example/x",
    "HTTP://evil.example",
    "www.evil.example",
    "a@evil.example",
    "[text](https://x.example)",
    "![i](u)",
    "<https://x.example>",
    "[x]: https://x.example",
    "|",
    "||",
    "\\",
    "\\|",
    "`",
    "``",
    "```",
    "~~~",
    "~~",
    "*",
    "**",
    "_",
    "__",
    "# ",
    "## h",
    "===",
    "---",
    "- ",
    "+ ",
    "1. ",
    "7) ",
    "> ",
    "    ",
    "\n",
    "\n\n",
    "\r\n",
    "\t",
    "\x1b[31m",
    "\x00",
    "\u202e",
    "\u2066",
    "\u200b",
    "\u2028",
    "\ud800",
    "&amp;",
    "&#64;x",
    "&lt;",
    "$x$",
    "$`x`$",
    "{{ 7*7 }}",
    "{% raw %}",
    "%s",
    "{}",
    "[skip ci]",
    "[^1]",
    "[!NOTE]",
    ":tada:",
    "😀",
    "日本",
    "e\u0301",
    "word",
    " ",
    "12",
    ".",
]
HOSTILE = st.lists(st.sampled_from(NASTY) | st.text(max_size=4), min_size=1, max_size=7).map(
    "".join
)
PARSER = MarkdownIt("commonmark").enable(["table", "strikethrough"])
# What GitHub links in rendered text: docs.github.com, "Autolinked references and URLs".
LINKED = re.compile(
    r"(?<![\w`])@[A-Za-z0-9]|#\d|\bgh-\d|https?://|ftp://|\bwww\.[\w-]|\w@[\w-]+\.\w", re.IGNORECASE
)


def life_with(text: str) -> Life:
    return fold(
        [
            events.Started(
                at=samples.when(19),
                by=text,
                why=text,
                plan=samples.PLAN,
                base="b",
                mode="lab",
                salt="s",
            ),
            events.AlertRaised(at=samples.when(20), by=text, why=text, alert="sample_ratio"),
            events.Learned(at=samples.when(21), by=text, text=text),
            events.Stopped(at=samples.when(22), by=text, why=text),
        ]
    )


def experiment_with(text: str, **names: str) -> Experiment:
    arms = (Arm("control", text), Arm(names.get("arm", "treatment"), text, text, env={text: "1"}))
    metrics = samples.experiment().metrics
    if "metric" in names:
        metrics = (replace(metrics[0], name=names["metric"]), *metrics[1:])
    return samples.experiment(
        name=text, hypothesis=text, owner=text, run=text, arms=arms, metrics=metrics
    )


def analysis_with(text: str, **names: str) -> Analysis:
    made = samples.analysis()
    results = list(made.metrics)
    found = samples.comparison(
        None, None, None, None, arm=names.get("arm", "treatment"), notes=(text,)
    )
    worded = replace(found, effect_size_word=text, evidence=replace(found.evidence, method=text))
    results[0] = replace(results[0], comparisons=(worded,), name=names.get("metric", "duration_s"))
    criteria = tuple(replace(item, rule=text, detail=text) for item in made.decision.criteria)
    return replace(
        made,
        metrics=tuple(results),
        checks=(Check(text, "failed", 0.001, text), Check(text, "ok", 0.5, text)),
        decision=Decision("stop", "no_effect", (text,), text, names.get("arm"), criteria),
        trials=TrialCounts({"control": 1, "treatment": 1}, {text: 3}),
        notes=(text,),
        version=text,
    )


def designs(experiment: Experiment, text: str) -> list[str]:
    """The design comment of a valid experiment and of one that is not, and the short answer."""
    valid = Proposal(
        text,
        experiment,
        document={"advice": [text]},
        changes=(FileChange(text, text, (f"-{text}", f"+{text}"), text),),
        advice=(text,),
        overlaps=(text,),
    )
    wrong = Proposal(text, None, (Problem(text, 3, text, text, text),))
    request = ProposingPullRequest(7, "ab" * 20)
    return [
        design_comment(request, [valid]),
        design_comment(request, [wrong, valid]),
        answer_comment(
            text, "1", AnsweredExperiment(experiment, life_with(text), analysis_with(text), text)
        ),
    ]


def reports(text: str, **names: str) -> list[str]:
    """Every Markdown report with `text` wherever somebody else's words can stand."""
    experiment, life = experiment_with(text, **names), life_with(text)
    analysis = analysis_with(text, **names)
    row = PortfolioRow("x", experiment, life, analysis, text)
    running = replace(row, life=samples.life(), id="y")
    return [
        render.comment(experiment, life, analysis, base_branch=text),
        render.analysis_report(experiment, life, analysis, "markdown"),
        render.promote_body(
            experiment, life, analysis, data_hash=text, undo=text, conflicts=[text]
        ),
        *designs(experiment, text),
        render.ledger_readme([row, running]),
        render.state_comment(experiment, life, analysis, "main"),
        render.state_comment(experiment, life, None, "main"),
        render.revert_body(experiment, life, analysis, text),
        render.alert_issue(experiment, life, analysis)[1],
    ]


@cache
def harmless_shapes(*names: str) -> list[list[Any]]:
    """What the same reports look like with a word in every place."""
    named = dict(zip(("arm", "metric"), names, strict=False))
    return [shape(PARSER.parse(report), names=True) for report in reports("word", **named)]


def shape(tokens: list[Token], names: bool) -> list[Any]:
    """The structure of a document without its words; with `names`, code spans are words."""
    seen: list[Any] = []
    for token in tokens:
        words = ("text", "text_special", *(["code_inline"] if names else []))
        children = [child.type for child in token.children or [] if child.type not in words]
        html = token.content if token.type == "html_block" else ""
        seen.append((token.type, token.tag, token.level, html, children))
    return seen


def words_of(tokens: list[Token]) -> str:
    return "\n".join(
        child.content
        for token in tokens
        for child in token.children or []
        if child.type in ("text", "text_special")
    )


@pytest.mark.slow
@examples(120)
@example("<!-- expci:report:x -->")
@given(HOSTILE)
def test_text_is_only_shown(text: str) -> None:
    """The same structure as with a harmless word: no markup, no link, no broken table."""
    assume(escape.clean(text))
    for report, harmless in zip(reports(text), harmless_shapes(), strict=True):
        parsed = PARSER.parse(report)
        assert shape(parsed, names=True) == harmless
        assert not LINKED.search(words_of(parsed)), words_of(parsed)
        # In a code block it is shown as it is; a comment is ours by what it ends with.
        outside = (token.content for token in parsed if token.type != "fence")
        assert sum(text.count("<!--") for text in outside) <= 1
        report.encode("utf-8")


@pytest.mark.slow
@examples(60)
@given(HOSTILE)
def test_names_are_only_shown(name: str) -> None:
    """Arms and metrics have a pattern of their own; the report does not lean on it."""
    assume(escape.clean(name) not in ("", "control", "success", "satisfaction", "max_rss_mb"))
    named = reports("word", arm=name, metric=name)
    for report, harmless in zip(named, harmless_shapes("n", "n"), strict=True):
        parsed = PARSER.parse(report)
        assert shape(parsed, names=True) == harmless
        assert not LINKED.search(words_of(parsed))


@examples(200)
@given(HOSTILE)
def test_escaped_text_reads_as_itself(text: str) -> None:
    """A parser gives back the visible text, but for the invisible spaces that break links."""
    inline = PARSER.parse("x " + escape.markdown(text))[1]
    shown = "".join(child.content for child in inline.children or [])
    assert shown.replace("\u200b", "") == ("x " + escape.clean(text)).rstrip()


@pytest.mark.parametrize(
    ("text", "shown"),
    [
        ("@octocat a@b.c", "@&#8203;octocat a@&#8203;b.c"),
        ("fixes #1, GH-2", "fixes \\#&#8203;1, GH-&#8203;2"),
        ("<!-- x -->", "&lt;!-- x --&gt;"),
        ("https://a.b www.a.b", "https:&#8203;//a.b www&#8203;.a.b"),
        ("a | b\\|", "a &#124; b\\\\&#124;"),
        ("`x` *y* _z_ [l](u) ~s~", "\\`x\\` \\*y\\* \\_z\\_ \\[l\\](u) \\~s\\~"),
        ("&#64;x", "&amp;\\#&#8203;64;x"),
        ("$x$", "\\$x\\$"),
        ("===", "\\==="),
        ("- x", "\\- x"),
        ("---", "\\---"),
        ("+ x", "\\+ x"),
        ("12. x", "12\\. x"),
        ("-1.5 or +2.0% of 12.3", "-1.5 or +2.0% of 12.3"),
        ("a\n\n# b\tc", "a \\#&#8203; b c"),
        ("\x1b[31mred\x00", "\ufffd\\[31mred\ufffd"),
        ("a\u202eb\u2066c\u200bd\ufeff", "abcd"),
        ("a\u2028b", "a b"),
        ("\ud800", "\ufffd"),
        ("👩\u200d💻", "👩\u200d💻"),
    ],
)
def test_markdown_of(text: str, shown: str) -> None:
    assert escape.markdown(text) == shown


@pytest.mark.parametrize("ending", ["`", "|", "\\", "<!--", "@x", "#1", "\n", "\u202e"])
def test_a_name_that_could_leave_its_code_span_is_plain_text(ending: str) -> None:
    shown = escape.code(f"name{ending}x")
    assert shown in (escape.markdown(f"name{ending}x"), "`namex`", "`name x`")


@examples(60)
@given(HOSTILE)
@example("\u202e evil \u2066 \x1b[2J \u2028 \r x")
def test_terminals_get_no_control_characters(text: str) -> None:
    experiment, life, analysis = experiment_with(text), life_with(text), analysis_with(text)
    row = PortfolioRow("x", experiment, life, analysis, text)
    for report in (
        render.status_report([row, replace(row, life=samples.life())], all=True),
        render.status_one(experiment, life, analysis),
        render.analysis_report(experiment, life, analysis),
        render.plan_text({"advice": [text]}, experiment),
        render.revert_message(experiment, life, analysis, text),
        render.promote_title(experiment, analysis),
    ):
        odd = {c for c in report if unicodedata.category(c) in ("Cc", "Cs")} - {"\n"}
        assert not odd
        assert not {"\u202e", "\u2066", "\u2028"} & set(report)


@examples(100)
@given(HOSTILE)
def test_a_commit_message_mentions_nobody_and_closes_nothing(text: str) -> None:
    message = render.revert_message(experiment_with(text), life_with(text), None, text)
    assert not re.search(r"@\w|#\d|\[skip ci\]", message)
    assert len(message.splitlines()[0]) <= 72
    assert message.rstrip().splitlines()[-1] == f"Expci-Plan: {samples.PLAN}"


def test_templates_cannot_go_round_the_escaping() -> None:
    """`~` and the built-in filters escape for HTML only, so a template must not use them."""
    for format in ("markdown", "text"):
        made = environment(format)
        assert set(made.filters) == {"wrap", "label", "pad", "length"}
        assert made.loader is not None
        for name in made.list_templates():
            source, _, _ = made.loader.get_source(made, name)
            assert not list(made.parse(source).find_all(jinja2.nodes.Concat)), name


def test_user_text_is_never_a_template() -> None:
    experiment = samples.experiment(name="{{ 7 * 7 }}", hypothesis="{% for x in y %}")
    text = render.comment(experiment, samples.life(), samples.analysis(), base_branch="main")
    assert "{{ 7 \\* 7 }}" in text
    assert "49" not in text.splitlines()[2]


@pytest.mark.parametrize("template", sorted(Path("expci/report/templates").glob("*.jinja")))
def test_each_template_is_used(template: Path) -> None:
    sources = [
        path.read_text()
        for path in Path("expci/report").rglob("*")
        if path.is_file() and path.suffix in (".py", ".jinja")
    ]
    stem = template.name.removesuffix(".md.jinja").removesuffix(".txt.jinja")
    uses = (f'"{template.name}"', f'_either("{stem}"')
    assert any(use in source for source in sources for use in uses)
