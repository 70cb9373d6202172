"""Finds expci in the checkout of this action, and nowhere else."""

import os
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).absolute().parents[2]))

from expci.runner.actions.main import main
from expci.runner.ci.messages import annotate, say
from expci.runner.quick_exit import leave

sys.stdout.reconfigure(encoding="utf-8", errors="backslashreplace")
environment = dict(os.environ)
for name in environment:
    if name.startswith("INPUT_"):  # the token among them: no program that is started inherits it
        del os.environ[name]
    elif name.startswith("GIT_") and not name.startswith(("GIT_CONFIG_", "GIT_SSL_CA")):
        del os.environ[name]  # an earlier step may have set GIT_SSH_COMMAND, GIT_TRACE_CURL, …
# In a container job the checkout belongs to somebody else; git would refuse to read it.
given = environment.get("GIT_CONFIG_COUNT", "")
count = int(given) if given.isdecimal() else 0
os.environ["GIT_CONFIG_COUNT"] = str(count + 1)
os.environ[f"GIT_CONFIG_KEY_{count}"] = "safe.directory"
os.environ[f"GIT_CONFIG_VALUE_{count}"] = "*"
if sys.argv[1] in ("find", "start-lab"):
    from expci.errors import ExpciError

    try:
        if sys.argv[1] == "find":
            from expci.runner.lab import runnable

            sys.exit(runnable.main(environment))
        from expci.forge import lab_runs

        sys.exit(lab_runs.main(environment, say))
    except ExpciError as problem:
        annotate("error" if sys.argv[1] == "find" else "warning", str(problem))
        sys.exit(problem.exit_code if sys.argv[1] == "find" else 0)
leave(main(sys.argv[1], environment))
