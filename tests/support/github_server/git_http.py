"""git over HTTP, by `git http-backend` itself; a token's `contents` permission decides."""

from __future__ import annotations

import base64
import subprocess
from collections.abc import Mapping
from http.server import BaseHTTPRequestHandler
from urllib.parse import urlsplit

from support.github_server.world import Hub, Token

CONFIG = {
    "http.receivepack": "true",
    "http.uploadpack": "true",
    "uploadpack.allowFilter": "true",
    "uploadpack.allowAnySHA1InWant": "true",
    "receive.hideRefs": "refs/pull",
    "safe.directory": "*",
}


def serve(handler: BaseHTTPRequestHandler, hubs: Mapping[str, Hub]) -> None:
    parts = urlsplit(handler.path)
    owner, name, *rest = parts.path.strip("/").split("/")
    hub = hubs.get(f"{owner}/{name.removesuffix('.git')}")
    body = _body(handler)
    writing = "git-receive-pack" in handler.path
    token = _token(hub, handler.headers.get("Authorization", "")) if hub else None
    if hub is None or token is None:
        _refuse(handler, 401, "Authentication failed")
    elif not token.may({"contents": "write" if writing else "read"}):
        _refuse(handler, 403, f"Permission to {hub.name}.git denied to {token.login}.")
    else:
        _backend(handler, hub, token, "/".join(rest), parts.query, body)


def _token(hub: Hub | None, header: str) -> Token | None:
    if hub is None or not header.lower().startswith("basic "):
        return None
    secret = base64.b64decode(header[6:]).decode(errors="replace").partition(":")[2]
    return hub.tokens.get(secret)


def _body(handler: BaseHTTPRequestHandler) -> bytes:
    if handler.headers.get("Transfer-Encoding", "").lower() != "chunked":
        return handler.rfile.read(int(handler.headers.get("Content-Length", 0)))
    data = bytearray()
    while size := int(handler.rfile.readline().split(b";")[0], 16):
        data += handler.rfile.read(size)
        handler.rfile.readline()
    handler.rfile.readline()
    return bytes(data)


def _backend(
    handler: BaseHTTPRequestHandler, hub: Hub, token: Token, rest: str, query: str, body: bytes
) -> None:
    path = hub.bare.path
    environment = {
        "PATH": "/usr/bin:/bin:/usr/local/bin",
        "GIT_PROJECT_ROOT": str(path.parent),
        "GIT_HTTP_EXPORT_ALL": "1",
        "PATH_INFO": f"/{path.name}/{rest}",
        "QUERY_STRING": query,
        "REQUEST_METHOD": handler.command,
        "CONTENT_TYPE": handler.headers.get("Content-Type", ""),
        "CONTENT_LENGTH": str(len(body)),
        "HTTP_CONTENT_ENCODING": handler.headers.get("Content-Encoding", ""),
        "HTTP_GIT_PROTOCOL": handler.headers.get("Git-Protocol", ""),
        "REMOTE_USER": token.login,
        "GIT_CONFIG_COUNT": str(len(CONFIG)),
    }
    for number, (key, value) in enumerate(CONFIG.items()):
        environment |= {f"GIT_CONFIG_KEY_{number}": key, f"GIT_CONFIG_VALUE_{number}": value}
    done = subprocess.run(
        ["git", "http-backend"], input=body, env=environment, capture_output=True, check=False
    )
    head, _, content = done.stdout.partition(b"\r\n\r\n")
    fields = dict(line.split(": ", 1) for line in head.decode().splitlines() if ": " in line)
    status = int(fields.pop("Status", "200 OK").split()[0])
    _send(handler, status, content, fields)


def _refuse(handler: BaseHTTPRequestHandler, status: int, message: str) -> None:
    fields = {"WWW-Authenticate": 'Basic realm="GitHub"'} if status == 401 else {}
    _send(handler, status, message.encode(), fields)


def _send(
    handler: BaseHTTPRequestHandler, status: int, content: bytes, fields: Mapping[str, str]
) -> None:
    handler.send_response(status)
    for name, value in fields.items():
        handler.send_header(name, value)
    handler.send_header("Content-Length", str(len(content)))
    handler.end_headers()
    handler.wfile.write(content)
    handler.wfile.flush()
