"""Answer the request in a file: a process of its own, which its parent can end at any time."""

from __future__ import annotations

import os
import sys
from pathlib import Path

import msgspec

from expci.store.warehouse.connection import SourceRefused, connect, expanded, without_secrets
from expci.store.warehouse.query import ask
from expci.store.warehouse.request import SourceReply, SourceRequest


def reply_to(request: SourceRequest) -> SourceReply:
    """The answers of a database; whatever its driver raises is a source that is down."""
    try:
        url, root = expanded(request.address), Path(request.root)
        return SourceReply(metrics=ask(connect(url, root), request, url))
    except SourceRefused as refused:
        return SourceReply("refused", str(refused))
    except Exception as error:
        words = without_secrets(str(error), request.address)
        return SourceReply("down", f"{type(error).__name__}: {words}")


def main() -> None:
    # Drivers write to the standard output as they like; the answer alone goes to the parent.
    answer = os.dup(1)
    os.dup2(2, 1)
    request = msgspec.json.decode(Path(sys.argv[1]).read_bytes(), type=SourceRequest)
    with os.fdopen(answer, "wb") as out:
        out.write(msgspec.json.encode(reply_to(request)))


if __name__ == "__main__":
    main()
