"""A lab that holds a key: which processes ever see it, and whom it is refused."""

from __future__ import annotations

import ast
import hashlib
import json
import subprocess
import sys
from pathlib import Path

import pytest

from expci.store.git import refs
from support.act_stage import REPOSITORY
from support.clones import Clone, make_clone, run_git
from support.processes import HANG_S

START = REPOSITORY / ".github/actions/start.sh"
KEY = "sk-stand-in-'7f3a\"-for-a-key"
LINES = "first line of a key\nsecond line of it"
SECRETS = json.dumps({"API_KEY": KEY, "CERT": LINES, "UNSET": ""})

# What a process of this user can read of all others, written where it runs.
LOOK = """\
import os, sys
from pathlib import Path
seen = []
for entry in Path('/proc').glob('[0-9]*'):
    for name in ('environ', 'cmdline'):
        try:
            if b'sk-stand-in' in (entry / name).read_bytes():
                seen.append(f'{entry.name} {name}')
        except OSError:
            pass
Path(sys.argv[1]).write_text(repr(sorted(seen)))
Path(sys.argv[1] + '.own').write_text(f"{os.getpid()} {os.getppid()} {os.environ.get('API_KEY')}")
"""


def keyed(tmp_path: Path, run: str) -> Clone:
    """A started lab experiment on a branch whose setup and run look at all processes."""
    (tmp_path / "look.py").write_text(LOOK)
    look = f"{sys.executable} -S {tmp_path}/look.py"
    clone = make_clone(tmp_path, f"setup: {look} {tmp_path}/setup-$EXPCI_ARM\nrun: |\n  {run}")
    run_git(clone.root, "switch", "-q", "-c", "try")
    run_git(clone.root, "push", "-q", "origin", "HEAD:refs/heads/try")
    clone.publish(branch="try", head=clone.git.require("HEAD"))
    (tmp_path / "event.json").write_text(json.dumps({"repository": {"default_branch": "main"}}))
    return clone


def step(
    clone: Clone, verb: str, tmp_path: Path, secrets: str = SECRETS, **changes: str
) -> subprocess.CompletedProcess[str]:
    environment = {
        **clone.environment,
        "PATH": f"{Path(sys.executable).parent}:/usr/bin:/bin",
        "RUNNER_TEMP": str(tmp_path),
        "GITHUB_OUTPUT": str(tmp_path / "output"),
        "GITHUB_EVENT_NAME": "workflow_dispatch",
        "GITHUB_EVENT_PATH": str(tmp_path / "event.json"),
        "GITHUB_REF": "refs/heads/try",
        "GITHUB_RUN_ID": "42",
        "INPUT_EXPERIMENT": "faster",
        "INPUT_PINNED": "true",
        "EXPCI_RETRY_SECONDS": "0",
        **({"INPUT_SECRETS": secrets} if verb == "lab" else {}),
        **changes,
    }
    return subprocess.run(
        ["/bin/sh", str(START), verb],
        cwd=clone.root,
        env=environment,
        capture_output=True,
        text=True,
        timeout=HANG_S,
        check=False,
    )


def everything_written(tmp_path: Path, *but: str) -> dict[str, bytes]:
    """Every file below the stage, the clone's private ones and the objects of git apart."""
    files = (path for path in tmp_path.rglob("*") if path.is_file() and not path.is_symlink())
    return {str(p): p.read_bytes() for p in files if not p.name.startswith(but)}


@pytest.mark.skipif(sys.platform != "linux", reason="/proc shows every process")
def test_the_secret_is_in_the_trial_s_command_and_nowhere_else(tmp_path: Path) -> None:
    digest = hashlib.md5(LINES.encode(), usedforsecurity=False).hexdigest()
    clone = keyed(
        tmp_path,
        f"{sys.executable} -S {tmp_path}/look.py {tmp_path}/run-$EXPCI_ARM\n"
        f'  test "$(printf %s "$CERT" | md5sum | cut -c1-32)" = {digest}\n'
        '  echo "infra: the key $API_KEY was refused" > $EXPCI_STATUS\n'
        '  echo "context.who: $API_KEY" >> $EXPCI_STATUS\n'
        '  echo "$CERT" | head -1 | sed "s/^/context.line: /" >> $EXPCI_STATUS\n'
        '  test -z "${UNSET+set}"',
    )
    assert step(clone, "lab-fetch", tmp_path).returncode == 0
    done = step(clone, "lab", tmp_path)
    assert done.returncode in (0, 75), done.stdout + done.stderr
    for arm in ("control", "treatment"):
        if not (tmp_path / f"run-{arm}").exists():
            continue  # the round ends with the first that the world failed
        # While setup ran no process that it could read had the secret, not even the step's own.
        assert (tmp_path / f"setup-{arm}").read_text() == "[]"
        assert (tmp_path / f"setup-{arm}.own").read_text().endswith(" None")
        pid, shell, key = (tmp_path / f"run-{arm}.own").read_text().split(" ", 2)
        assert key == KEY
        holders = set(ast.literal_eval((tmp_path / f"run-{arm}").read_text()))
        assert f"{pid} environ" in holders
        assert holders <= {f"{pid} environ", f"{shell} environ"}  # the script, what it starts
    assert list(tmp_path.glob("run-*.own"))
    # Log, records, and everything else that was written.
    for text in (done.stdout, done.stderr):
        assert "sk-stand-in" not in text
        assert "first line of a key" not in text
    assert "the infrastructure failed (the key *** was refused)" in done.stdout
    written = everything_written(tmp_path, "run-")
    assert [path for path, data in written.items() if b"7f3a" in data] == []
    assert [path for path, data in written.items() if b"first line of a key" in data] == []
    [artifact] = [path for path in written if path.endswith("trials.jsonl")]
    records = [json.loads(line) for line in written[artifact].splitlines()]
    assert records[0]["context"]["infra"] == "the key *** was refused"
    assert records[0]["context"]["context_who"] == "***"


def test_secrets_need_a_pin_and_have_a_form(tmp_path: Path) -> None:
    clone = keyed(tmp_path, "true")
    loose = step(clone, "lab", tmp_path, INPUT_PINNED="false")
    assert loose.returncode != 0
    assert "needs `pinned: true`" in loose.stdout
    for bad in ("no json", '["A"]', '{"A": 3}', '{"A-B": "x"}'):
        refused = step(clone, "lab", tmp_path, secrets=bad)
        assert refused.returncode != 0
        assert "the input `secrets` is not a JSON object" in refused.stdout
    assert not list(tmp_path.glob("run-*"))


def test_a_push_after_the_start_runs_nothing_until_it_is_started_again(tmp_path: Path) -> None:
    clone = keyed(tmp_path, "true")
    assert step(clone, "lab-fetch", tmp_path).returncode == 0
    clone.write({"other.txt": "what nobody looked at\n"})
    run_git(clone.root, "commit", "-qam", "later")
    late = step(clone, "lab-fetch", tmp_path)
    assert late.returncode == 1
    assert "nothing runs before a writer starts it again" in late.stdout
    clone.publish(branch="try", head=clone.git.require("HEAD"))
    assert step(clone, "lab-fetch", tmp_path).returncode == 0


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"GITHUB_EVENT_NAME": "pull_request", "GITHUB_REF": "refs/pull/7/merge"}, "gets none"),
        ({"GITHUB_EVENT_NAME": "push"}, "gets none"),
        ({"GITHUB_REF": "refs/heads/other"}, "was not started on refs/heads/other"),
        ({"GITHUB_REF": ""}, "was not started on this branch"),
        ({"INPUT_EXPERIMENT": "unknown"}, "here is unknown"),
    ],
)
def test_who_gets_no_secret(tmp_path: Path, changes: dict[str, str], words: str) -> None:
    done = step(keyed(tmp_path, "true"), "lab-fetch", tmp_path, **changes)
    assert done.returncode == 1
    assert words in done.stdout


def test_the_default_branch_runs_as_it_is(tmp_path: Path) -> None:
    clone = keyed(tmp_path, "true")
    assert step(clone, "lab-fetch", tmp_path, GITHUB_REF="refs/heads/main").returncode == 0


def test_where_what_is_published_cannot_be_read_nothing_gets_a_secret(tmp_path: Path) -> None:
    clone = keyed(tmp_path, "true")
    assert step(clone, "lab-fetch", tmp_path).returncode == 0
    clone.origin.rename(tmp_path / "gone.git")
    done = step(clone, "lab-fetch", tmp_path)
    assert done.returncode == 1
    assert "here is unknown" in done.stdout
    assert refs.PUBLISHED not in done.stdout.splitlines()[-1]
