"""A step that was given secrets: this process keeps them, and the step runs below it."""

from __future__ import annotations

import sys

from expci.errors import ExpciError, UsageError
from expci.runner.ci import messages
from expci.runner.measure import secrets_vault


def run(verb: str, environment: dict[str, str]) -> int:
    """Run the verb without the secrets; its exit code."""
    try:
        secrets = secrets_vault.parse_secrets(secrets_vault.taken_out(environment))
        if environment.get("INPUT_PINNED", "").lower() != "true":
            raise UsageError(
                "`secrets:` needs `pinned: true`: only what a writer started gets them"
            )
    except ExpciError as error:
        messages.annotate("error", str(error))
        return error.exit_code
    command = (sys.executable, "-I", "-S", sys.argv[0], verb)
    return secrets_vault.keep_and_run(secrets, command, environment)
