"""Commands in comments: what is one, what it means, and that nothing else is taken for one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.slash_command import (
    VERBS,
    Command,
    Meant,
    More,
    Unclear,
    parse,
    parse_extension,
    resolve,
)

ONE = ["faster-review"]
ALL = ["faster-review", "small-pack"]


@pytest.mark.parametrize(
    ("body", "verb", "words"),
    [
        ("/expci status", "status", ()),
        ("\n \r\n/expci pause  speed\ttoo noisy \n\nmore text", "pause", ("speed", "too", "noisy")),
        ("/expci rollback\r\n", "rollback", ()),
        ("/expci", "", ()),
        ("/expci Start", "", ()),
        ("/expci stop now", "stop", ("now",)),
        ("/expci halt now", "", ("now",)),
        ("/expci start\n/expci promote", "start", ()),
    ],
)
def test_the_first_line_that_is_not_empty_is_the_command(
    body: str, verb: str, words: tuple[str, ...]
) -> None:
    found = parse(body)
    assert found is not None
    assert (found.verb, found.words) == (verb, words)


@pytest.mark.parametrize(
    "body",
    [
        "",
        "> /expci promote",
        "    /expci promote",
        " /expci promote",
        "```\n/expci promote\n```",
        "please\n/expci promote",
        "/expcipromote",
        "`/expci promote`",
        "/EXPCI promote",
        "<!-- x --> /expci promote",
        "\u200b/expci promote",
        "/expci\u00a0promote",
    ],
)
def test_quoted_and_other_text_is_no_command(body: str) -> None:
    assert parse(body) is None


@pytest.mark.slow
@given(st.text())
def test_garbage_never_raises_and_is_never_an_act(text: str) -> None:
    assert parse(text) is None or text.lstrip().startswith("/expci")
    found = parse(f"/expci {text}")
    if found is not None:
        meant = resolve(found, ONE, ALL)
        assert isinstance(meant, Unclear) or (meant.verb in VERBS and meant.experiment in ALL)
        assert len(found.words) <= 51
    assert isinstance(parse_extension(text.split()), (More, Unclear))


@given(st.sampled_from(VERBS), st.sampled_from(ALL), st.lists(st.sampled_from("ab7"), max_size=5))
def test_a_written_command_is_read_as_it_was_written(
    verb: str, name: str, words: list[str]
) -> None:
    found = parse(f"/expci {verb} {name} {' '.join(words)}")
    assert found is not None
    assert resolve(found, [], ALL) == Meant(verb, name, tuple(words))  # type: ignore[arg-type]


def test_the_id_may_be_left_out_where_there_is_one() -> None:
    command = Command("pause", ("too", "noisy"))
    assert resolve(command, ONE, ALL) == Meant("pause", "faster-review", ("too", "noisy"))
    assert isinstance(resolve(command, ALL, ALL), Unclear)
    assert isinstance(resolve(command, [], ALL), Unclear)
    assert isinstance(resolve(Command("start"), [], []), Unclear)


def test_another_experiment_can_be_named_and_a_slip_is_no_reason() -> None:
    assert resolve(Command("status", ("small-pack",)), ONE, ALL) == Meant("status", "small-pack")
    slip = resolve(Command("rollback", ("smal-pack", "harm")), ONE, ALL)
    assert isinstance(slip, Unclear)
    assert "did you mean small-pack?" in slip.why


@pytest.mark.parametrize(
    ("words", "more"),
    [
        ("7 days", More(days=7)),
        ("1 day slow week", More(days=1, words=("slow", "week"))),
        ("7d", More(days=7)),
        ("7days why", More(days=7, words=("why",))),
        ("--days 7 why", More(days=7, words=("why",))),
        ("--days=7 why not", More(days=7, words=("why", "not"))),
        ("--trials 40", More(trials=40)),
        ("40 trials", More(trials=40)),
    ],
)
def test_amounts(words: str, more: More) -> None:
    assert parse_extension(words.split()) == more


@pytest.mark.parametrize(
    "words", ["", "7", "days", "--days", "--days x", "-3 days", "1e3 days", "٣ days", "7 weeks"]
)
def test_what_is_no_amount_is_refused(words: str) -> None:
    assert isinstance(parse_extension(words.split()), Unclear)
