"""HTTP: one thread per connection, tokens, faults, limits, and every exchange checked."""

from __future__ import annotations

import base64
import json
import re
import select
import socket
import struct
import threading
import time
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qsl, urlsplit

from support.github_server import (
    git_http,
    git_paths,
    graphql,
    issue_paths,
    pull_paths,
    pulls,
    repository_paths,
)
from support.github_server.faults import PRIMARY, Fault
from support.github_server.routes import Answer, Request
from support.github_server.routes import answer as rest_answer
from support.github_server.world import Exchange, Hub, Token, hub
from support.openapi import document
from support.processes import HANG_S

API = "/api/v3"
# Each adds its routes when imported.
PATHS = (git_paths, issue_paths, pull_paths, repository_paths)


class GitHubServer:
    """Serves any number of repositories on a free port of this machine."""

    def __init__(self) -> None:
        self.hubs: dict[str, Hub] = {}
        self.renamed: dict[str, str] = {}
        self._http = _Server(("127.0.0.1", 0), _Handler)
        self._http.github = self
        self._thread = threading.Thread(target=self._http.serve_forever, args=(0.05,), daemon=True)

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self._http.server_address[1]}"

    def start(self) -> GitHubServer:
        self._thread.start()
        return self

    def stop(self) -> None:
        self._http.shutdown()
        self._http.server_close()

    def serve(self, name: str, bare: Path) -> Hub:
        """The repository at `bare` as OWNER/NAME, new to this GitHub."""
        self.hubs[name] = hub(name, bare, self.url)
        return self.hubs[name]

    def by_token(self, secret: str) -> tuple[Hub, Token] | None:
        for found in self.hubs.values():
            if secret in found.tokens:
                return found, found.tokens[secret]
        return None


class _Server(ThreadingHTTPServer):
    github: GitHubServer
    daemon_threads = True
    block_on_close = False

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that hung up is what some tests are about."""


class _Dropped(Exception):
    """The connection ends here, without an answer."""


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    wbufsize = -1  # headers and body in one packet
    server: _Server

    def log_message(self, format: str, *args: Any) -> None:
        """Quiet: `Hub.log` has it all."""

    def _serve(self) -> None:
        try:
            self._dispatch()
        except _Dropped:
            # RST rather than FIN: what a broken connection looks like.
            self.connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.close_connection = True
            self.connection.close()

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def _dispatch(self) -> None:
        path = urlsplit(self.path).path
        if path.startswith("/_blobs/"):
            self._blob(path)
        elif path == "/api/graphql":
            self._graphql()
        elif path.startswith(f"{API}/repos/"):
            self._rest(path.removeprefix(API))
        elif re.match(r"/[^/]+/[^/]+\.git/", path):
            git_http.serve(self, self.server.github.hubs)
        else:
            self._send(Answer(404, {"message": "Not Found"}))

    # --- the API -----------------------------------------------------------------------

    def _rest(self, path: str) -> None:
        body = self._body()
        name = "/".join(path.split("/")[2:4])
        found = self.server.github.hubs.get(name)
        known = self._known()
        if known is None:
            self._send(Answer(401, {"message": "Bad credentials"}))
        elif name in self.server.github.renamed:
            moved = self.server.github.url + self.path.replace(
                name, self.server.github.renamed[name]
            )
            self._send(Answer(301, {"message": "Moved Permanently"}, {"Location": moved}))
        elif found is not known[0]:
            self._send(Answer(404, {"message": "Not Found"}))
        else:
            self._exchange(*known, path, body)

    def _graphql(self) -> None:
        body = self._body()
        known = self._known()
        if known is None:
            self._send(Answer(401, {"message": "Bad credentials"}))
            return
        hub, token = known
        exchange = Exchange(self.command, "/graphql", {}, body)
        self._answer(hub, exchange, lambda: graphql.answer(hub, token, body))

    def _exchange(self, hub: Hub, token: Token, path: str, body: Any) -> None:
        query = dict(parse_qsl(urlsplit(self.path).query, keep_blank_values=True))
        exchange = Exchange(self.command, path, query, body)
        self._answer(hub, exchange, lambda: self._checked(hub, token, exchange))

    def _checked(self, hub: Hub, token: Token, exchange: Exchange) -> Answer:
        """The answer, with what GitHub's document says against it or the request on record."""
        operation = document.find(exchange.method, exchange.path)
        where = f"{exchange.method} {exchange.path}"
        if operation is None:
            hub.violations.append(f"{where}: no such operation")
            return Answer(404, {"message": "Not Found"})
        if not hub.remaining:
            return Answer(403, {"message": PRIMARY})
        hub.remaining -= 1
        problems = document.problems_of_request(operation, exchange.query, exchange.body)
        hub.violations += [f"{where} ({operation.id}): {problem}" for problem in problems]
        if problems:
            return Answer(422, {"message": "Validation Failed", "errors": problems})
        pulls.refresh(hub)
        address = {"path": f"{hub.server}{urlsplit(self.path).path}"}
        variables = {**operation.variables, **address}
        answer = rest_answer(
            operation.id, Request(hub, token, variables, exchange.query, exchange.body)
        )
        problems = document.problems_of_answer(operation, answer.status, answer.body)
        hub.violations += [f"{where} ({operation.id}, {answer.status}): {p}" for p in problems]
        return answer

    def _answer(self, hub: Hub, exchange: Exchange, act: Callable[[], Answer]) -> None:
        def make() -> Answer:
            with hub.lock:
                return act()

        with hub.lock:
            hub.log.append(exchange)
            fault = hub.faults.take(exchange.method, exchange.path)
        if fault is not None and fault.act is not None:
            fault.act()
        if fault is None or fault.how == "meanwhile":
            answer = make()
        else:
            if fault.applied:
                make()
            answer = self._faulty(fault)
        exchange.status = answer.status
        limits = {"X-RateLimit-Limit": "5000", "X-RateLimit-Remaining": str(hub.remaining)}
        limits["X-RateLimit-Reset"] = str(int(time.time()) + 3600)
        self._send(Answer(answer.status, answer.body, {**limits, **answer.headers}))

    def _faulty(self, fault: Fault) -> Answer:
        if fault.how == "hang":
            select.select([self.connection], [], [], HANG_S)  # readable: the client hung up
        if fault.how in ("hang", "drop"):
            raise _Dropped
        return Answer(fault.status, fault.body, fault.headers)

    # --- reading and writing -----------------------------------------------------------

    def _body(self) -> Any:
        data = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        return json.loads(data) if data else None

    def _known(self) -> tuple[Hub, Token] | None:
        return self.server.github.by_token(secret_of(self.headers.get("Authorization", "")))

    def _blob(self, path: str) -> None:
        wanted = int(path.rsplit("/", 1)[-1])
        artifacts = [(h, a) for h in self.server.github.hubs.values() for a in h.artifacts]
        found, artifact = next((h, a) for h, a in artifacts if a.id == wanted)
        if self.headers.get("Authorization"):
            found.violations.append("a token was sent to the store of artifacts")
        exchange = Exchange(self.command, path, {}, None)
        self._answer(found, exchange, lambda: Answer(200, artifact.data))

    def _send(self, answer: Answer) -> None:
        raw = answer.body
        text = raw if isinstance(raw, str | bytes) else json.dumps(raw)
        data = b"" if raw is None else text if isinstance(text, bytes) else text.encode()
        self.send_response(answer.status)
        for name, value in answer.headers.items():
            self.send_header(name, value)
        if not isinstance(raw, str | bytes):
            self.send_header("Content-Type", "application/json; charset=utf-8")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)
        self.wfile.flush()


def secret_of(header: str) -> str:
    """The token in an Authorization header: `token …`, `Bearer …` or Basic's password."""
    scheme, _, value = header.partition(" ")
    if scheme.lower() != "basic":
        return value
    return base64.b64decode(value).decode(errors="replace").partition(":")[2]
