"""Tokens, permissions, rate limits and broken connections, as a user meets them."""

from __future__ import annotations

import subprocess
import sys
import time
import traceback
from dataclasses import replace

import pytest
from urllib3 import HTTPConnectionPool, HTTPResponse
from urllib3.exceptions import MaxRetryError, ReadTimeoutError

from expci.app import open_context
from expci.errors import ExpciError, ForgeError, ForgeUnreachable, NotPermitted
from expci.forge.github.forge import github_forge
from expci.forge.github.retries import Limits, PatientRetry
from expci.forge.github.session import Access
from expci.forge.ports import CheckRun, Forge, PullRequest
from expci.settings import read
from support.forge_contract import MARKER
from support.github_server import Fault
from support.hub_bench import ALL, BOT, HubBench, bench, template
from support.ports import alerts_of, checks_of, ci_of

__all__ = ["bench", "template"]

BODY = f"Text\n\n{MARKER}"


# --- broken connections ------------------------------------------------------------------


@pytest.mark.parametrize(
    "fault",
    [
        Fault.failure(status=500),
        Fault.failure(status=502, times=3),
        Fault.failure(status=503),
        Fault.failure(status=504),
        Fault.reset(times=2),
        Fault.silence(),
    ],
    ids=lambda fault: f"{fault.how}-{fault.status}",
)
def test_reading_is_repeated(bench: HubBench, fault: Fault) -> None:
    pull = bench.open()
    bench.hub.faults.add(fault)
    assert bench.forge().pull_requests.of_branch(pull.head) == pull


def test_an_outage_ends_in_one_sentence_that_says_what_to_do(bench: HubBench) -> None:
    bench.hub.faults.add(Fault.failure(times=4))
    with pytest.raises(ForgeUnreachable) as caught:
        bench.forge().pull_requests.of_branch("try/speed")
    assert "cannot list the pull requests: GitHub failed (502" in str(caught.value)
    assert "Run it again" in str(caught.value)
    assert "<html>" not in str(caught.value).splitlines()[1:]


def test_a_broken_connection_is_named_without_internals(bench: HubBench) -> None:
    bench.hub.faults.add(Fault.reset(times=4))
    with pytest.raises(ForgeUnreachable, match=r"\(\[Errno \d+\] Connection reset by peer\)"):
        bench.forge().pull_requests.of_branch("try/speed")


def test_a_server_that_says_nothing_is_given_up_after_two_requests(bench: HubBench) -> None:
    bench.hub.faults.add(Fault.silence(times=2))
    forge = bench.forge(timeout=1)
    for words in ("no answer from", "went silent and is not asked again", "went silent"):
        with pytest.raises(ForgeUnreachable, match=words):
            forge.pull_requests.of_branch("try/speed")
    assert bench.calls() == 2


def test_an_answer_in_between_is_a_sign_of_life() -> None:
    limits, pool = Limits(), HTTPConnectionPool("127.0.0.1")
    retry, silence = PatientRetry(limits), ReadTimeoutError(pool, "/", "no answer")
    for _ in range(3):
        retry.increment("GET", "/", error=silence, _pool=pool)
        assert not limits.is_silent
        retry.increment("GET", "/", response=HTTPResponse(status=502), _pool=pool)
    retry.increment("GET", "/", error=silence, _pool=pool)
    with pytest.raises(MaxRetryError):
        retry.increment("GET", "/", error=silence, _pool=pool)
    assert limits.is_silent


def test_no_server_at_all() -> None:
    access = Access("o/r", "secret", "http://127.0.0.1:9", timeout=1)
    with pytest.raises(ForgeUnreachable, match=r"no answer from http://127.0.0.1:9 \([^<]*refused"):
        github_forge(access, Limits(backoff=0.01)).pull_requests.of_branch("try/speed")


def test_an_address_that_is_no_api(bench: HubBench) -> None:
    page = '[{"id": "this is'
    bench.hub.faults.add(Fault("answer", status=200, body=page))
    with pytest.raises(ForgeError, match="check GITHUB_API_URL"):
        bench.forge().pull_requests.of_branch("try/speed")


# --- rate limits -------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("fault", "seconds"),
    [
        (Fault.secondary_limit(after=1), 1),
        (Fault.secondary_limit(after=1, status=429), 1),
        (Fault.secondary_limit(), 0.05),
        (Fault.primary_limit(reset=-1), 0),
    ],
    ids=["after", "429", "unnamed", "primary"],
)
def test_a_limit_is_waited_for_and_the_comment_made_once(
    bench: HubBench, fault: Fault, seconds: float
) -> None:
    pull = bench.open()
    bench.hub.faults.add(replace(fault, method="POST", path="/comments"))
    start = time.monotonic()
    assert bench.forge().comments.write(pull.number, MARKER, BODY)
    assert time.monotonic() - start >= seconds
    assert bench.comments(pull.number) == [BODY]


def test_a_limit_beyond_the_cap_stops_every_further_request(bench: HubBench) -> None:
    pull = bench.open()
    bench.hub.faults.add(Fault.primary_limit("GET", "/comments", reset=1800))
    limits = Limits(left=60)
    forge = bench.forge(limits=limits)
    with pytest.raises(ForgeUnreachable, match=r"rate limit is used up for 1\d\d\d s"):
        forge.comments.write(pull.number, MARKER, BODY)
    before = bench.calls()
    for _ in range(3):
        with pytest.raises(ForgeUnreachable, match="The next pass goes on"):
            forge.pull_requests.of_branch(pull.head)
    assert bench.calls() == before
    assert limits.left == 60  # nothing was waited for


def test_all_waits_together_are_capped(bench: HubBench) -> None:
    bench.hub.faults.add(Fault.secondary_limit("GET", "/pulls", after=0, times=3))
    limits = Limits(left=2)
    with pytest.raises(ForgeUnreachable, match="rate limit"):
        bench.forge(limits=limits).pull_requests.of_branch("try/speed")
    assert limits.left == 0


# --- tokens and permissions --------------------------------------------------------------


def _comment(forge: Forge, pull: PullRequest) -> None:
    forge.comments.write(pull.number, MARKER, BODY)


def _check(forge: Forge, pull: PullRequest) -> None:
    checks_of(forge).set(pull.head_commit, CheckRun("expci / plan", "success", "Fine", "Fine"))


def _alert(forge: Forge, pull: PullRequest) -> None:
    alerts_of(forge).open(MARKER, "Title", BODY)


def _open(forge: Forge, pull: PullRequest) -> None:
    forge.pull_requests.open("another", "main", "Title", "", draft=False)


def _merge(forge: Forge, pull: PullRequest) -> None:
    forge.pull_requests.merge(pull, "Promote")


def _artifacts(forge: Forge, pull: PullRequest) -> None:
    list(ci_of(forge).artifacts("expci-", None))


def _draft(forge: Forge, pull: PullRequest) -> None:
    forge.pull_requests.open(pull.head, "main", pull.title, pull.body, draft=True)


@pytest.mark.parametrize(
    ("act", "missing", "line"),
    [
        (_comment, {"pull_requests": "read", "issues": "none"}, "pull-requests: write"),
        (_check, {"checks": "read"}, "checks: write"),
        (_alert, {"issues": "read"}, "issues: write"),
        (_open, {"pull_requests": "read"}, "pull-requests: write"),
        (_merge, {"contents": "read"}, "contents: write"),
        (_artifacts, {"actions": "none"}, "actions: read"),
    ],
)
def test_a_missing_permission_is_named(
    bench: HubBench, act: object, missing: dict[str, str], line: str
) -> None:
    pull = bench.open()
    bench.branch("another")
    forge = bench.forge(bench.hub.token(BOT, {**ALL, **missing}))
    with pytest.raises(NotPermitted) as caught:
        act(forge, pull)  # type: ignore[operator]
    assert f"permissions:\n    {line}\n" in str(caught.value)


def test_a_person_cannot_set_checks_and_is_told_why(bench: HubBench) -> None:
    pull = bench.open()
    with pytest.raises(NotPermitted, match="You must authenticate via a GitHub App"):
        _check(bench.forge(bench.hub.token_of("ada")), pull)


def test_a_wrong_token_is_never_shown(bench: HubBench) -> None:
    pull = bench.open()
    wrong = replace(bench.token, secret="ghs_5ecret")
    echo = f"Bad credentials: {wrong.secret}"
    bench.hub.tokens[wrong.secret] = wrong
    bench.hub.faults.add(Fault.refusal("GET", "/pulls", 401, echo))
    forge = bench.forge(wrong)
    with pytest.raises(NotPermitted, match="refuses the token") as caught:
        forge.pull_requests.of_branch(pull.head)
    assert wrong.secret not in str(caught.value)
    assert wrong.secret not in repr(vars(forge)) + repr(Access("o/r", wrong.secret))
    shown = "".join(traceback.format_exception(caught.value.with_traceback(None)))
    assert wrong.secret not in shown


def test_the_author_is_whoever_the_token_belongs_to(bench: HubBench) -> None:
    pull = bench.open()
    for token in (bench.hub.token("expci-app[bot]", ALL), bench.hub.token_of("grace")):
        forge = bench.forge(token)
        assert forge.comments.write(pull.number, MARKER, BODY)
        assert not bench.forge(token).comments.write(pull.number, MARKER, BODY)
    authors = [comment.author for comment in bench.hub.comments(pull.number)]
    assert authors == ["expci-app[bot]", "grace"]


@pytest.mark.parametrize(
    ("role", "may"),
    [("admin", True), ("maintain", True), ("write", True), ("triage", False), ("read", False)],
)
def test_writing_is_asked_from_the_api(bench: HubBench, role: str, may: bool) -> None:
    bench.hub.people["grace"] = role
    forge = bench.forge()
    assert forge.comments.can_write("grace") is may
    assert forge.comments.can_write("grace") is may
    assert bench.calls("GET", "/permission") == 1


def test_a_stranger_may_not_write(bench: HubBench) -> None:
    assert not bench.forge().comments.can_write("mallory")
    assert not bench.forge().comments.can_write("../../orgs")


def test_rules_of_a_branch(bench: HubBench) -> None:
    assert bench.forge().pull_requests.branch_rules("main") == ()
    bench.hub.protect("main")
    assert bench.forge().pull_requests.branch_rules("main") == (
        "pull_request",
        "required_status_checks",
    )
    assert bench.forge().pull_requests.branch_rules("release/1.0") == ()


# --- where it comes from -----------------------------------------------------------------


def test_the_environment_of_a_workflow_leads_here(bench: HubBench) -> None:
    pull = bench.open()
    settings = read(
        {
            "GITHUB_REPOSITORY": bench.hub.name,
            "GITHUB_TOKEN": bench.token.secret,
            "GITHUB_API_URL": bench.hub.api_url,
            "GITHUB_SERVER_URL": bench.hub.server,
        }
    )
    forge = open_context(bench.repository.path, settings).forge
    assert forge.name == bench.name
    assert forge.pull_requests.of_branch(pull.head) == pull
    assert forge.pull_requests.compare_url("a b", "main").startswith(
        f"{bench.hub.page}/compare/main...a%20b"
    )
    assert bench.token.secret not in repr(settings)


def test_github_without_a_repository_says_what_to_set(bench: HubBench) -> None:
    context = open_context(bench.repository.path, read({}), forge="github")
    with pytest.raises(ExpciError, match="set GITHUB_REPOSITORY"):
        _ = context.forge
    with pytest.raises(ExpciError, match="OWNER/NAME"):
        github_forge(Access("https://github.com/o/r", "secret"))


def test_pygithub_is_not_imported_before_it_is_needed() -> None:
    code = "import expci.app, expci.cli, sys; sys.exit('github' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
