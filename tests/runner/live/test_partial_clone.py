"""A private repository, cloned without blobs or kept credentials: reading gets the token."""

from __future__ import annotations

import base64
import os
import subprocess
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest

from expci.runner.live.assign import AssignOptions, AssignResult, assign_job
from expci.runner.record.record import RecordOptions, record_trials
from support.clones import Clone, make_clone, run_git
from support.command import expci_command

TOKEN = "s3cret"
BASIC = "basic " + base64.b64encode(f"x-access-token:{TOKEN}".encode()).decode()


class PrivateGit(BaseHTTPRequestHandler):
    """git over HTTP by git's own backend, for whoever has the token."""

    protocol_version = "HTTP/1.1"
    root: Path

    def do_GET(self) -> None:
        body = self._body()
        if (self.headers.get("Authorization") or "").lower() != BASIC.lower():
            self.send_response(401)
            self.send_header("WWW-Authenticate", 'Basic realm="private"')
            self.send_header("Content-Length", "0")
            self.end_headers()
            return
        head, _, data = self._backend(body).partition(b"\r\n\r\n")
        fields = dict(line.split(": ", 1) for line in head.decode().split("\r\n"))
        self.send_response(int(fields.pop("Status", "200").split()[0]))
        for name, value in fields.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    do_POST = do_GET

    def _body(self) -> bytes:
        if self.headers.get("Transfer-Encoding") != "chunked":
            return self.rfile.read(int(self.headers.get("Content-Length") or 0))
        body = b""
        while size := int(self.rfile.readline(), 16):
            body += self.rfile.read(size)
            self.rfile.readline()
        self.rfile.readline()
        return body

    def _backend(self, body: bytes) -> bytes:
        path, _, query = self.path.partition("?")
        environment = {
            "PATH": os.environ["PATH"],
            "GIT_PROJECT_ROOT": str(self.root),
            "GIT_HTTP_EXPORT_ALL": "1",
            "PATH_INFO": path,
            "QUERY_STRING": query,
            "REQUEST_METHOD": self.command,
            "CONTENT_TYPE": self.headers.get("Content-Type", ""),
            "CONTENT_LENGTH": str(len(body)),
            "REMOTE_USER": "x",
            "REMOTE_ADDR": "127.0.0.1",
            "GIT_PROTOCOL": self.headers.get("Git-Protocol", ""),
            "HTTP_CONTENT_ENCODING": self.headers.get("Content-Encoding", ""),
        }
        return subprocess.run(
            ["git", "http-backend"], input=body, env=environment, capture_output=True
        ).stdout

    def log_message(self, *arguments: object) -> None:
        pass


@pytest.fixture
def server(tmp_path: Path) -> Iterator[str]:
    handler = type("Handler", (PrivateGit,), {"root": tmp_path})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.fixture
def job(server: str, tmp_path: Path) -> Clone:
    """A checkout as a workflow with `persist-credentials: false` has it: no blob but its own."""
    first = make_clone(tmp_path, "slot: review")
    for key in ("uploadpack.allowFilter", "uploadpack.allowAnySHA1InWant", "http.receivepack"):
        run_git(first.origin, "config", key, "true")
    first.publish(mode="live", slot="review", design="randomized", unit="custom")
    root = tmp_path / "job"
    run_git(tmp_path, "init", "-q", str(root))
    run_git(root, "remote", "add", "origin", f"{server}/origin.git")
    run_git(root, "sparse-checkout", "set", "elsewhere")
    header = f"http.{server}/.extraheader=AUTHORIZATION: {BASIC}"
    branches = "+refs/heads/*:refs/remotes/origin/*"
    run_git(root, "-c", header, "fetch", "-q", "--filter=blob:none", "origin", branches)
    run_git(root, "-c", header, "checkout", "-q", "-B", "main", "refs/remotes/origin/main")
    return Clone(root, first.origin, environment=first.environment)


def missing(job: Clone) -> int:
    listed = run_git(job.root, "rev-list", "--objects", "--missing=print", "HEAD")
    return sum(line.startswith("?") for line in listed.splitlines())


def assign(job: Clone, server: str, token: str) -> AssignResult:
    """As the action `assign` does it."""
    environment = {**job.environment, "GITHUB_SERVER_URL": server}
    return assign_job(AssignOptions(job.root, environment, slot="review", unit="u-1", token=token))


def test_the_objects_that_a_job_needs_are_read_with_its_token(job: Clone, server: str) -> None:
    before = missing(job)
    assert before >= 2  # the spec and the treatment's file are not here
    [outcome] = assign(job, server, TOKEN).outcomes
    assert outcome.arm in ("control", "treatment"), outcome
    assert missing(job) < before
    config = run_git(job.root, "config", "--list")
    assert TOKEN not in config
    assert "extraheader" not in config


def test_its_trial_is_pushed_with_the_token(job: Clone, server: str) -> None:
    assign(job, server, TOKEN)
    environment = {**job.environment, "GITHUB_SERVER_URL": server}
    options = RecordOptions(job.root, environment, slot="review", metrics=("x=1",), token=TOKEN)
    record_trials(options)
    assert [trial.unit for trial in job.arrived()] == ["u-1"]


def test_verbs_without_an_action_take_the_token_that_the_job_states(
    job: Clone, server: str
) -> None:
    """A plain `run: expci …` step: every object comes, the arms' work trees have their files."""
    env = {**job.environment, "GITHUB_SERVER_URL": server, "EXPCI_TOKEN": TOKEN}
    done = expci_command(
        job.root, "trial", "faster", "--unit", "u", "--", "cat", "tool.sh", env=env
    )
    assert done.returncode == 0, done.stderr
    assert [trial.unit for trial in job.arrived()] == ["u"]
    status = expci_command(job.root, "status", "--forge", "local", env=env)
    assert status.returncode == 0, status.stderr
    assert TOKEN not in run_git(job.root, "config", "--list")


def test_without_a_token_the_job_goes_on_and_is_told_why(job: Clone, server: str) -> None:
    result = assign(job, server, "")
    assert all(outcome.arm is None for outcome in result.outcomes)
    assert any("could not be read" in warning for warning in result.warnings)
