"""docs/tutorial.md and docs/removing.md, done literally."""

from __future__ import annotations

from pathlib import Path

import pytest

from support.repositories import Repository
from support.shell_pages import DOCS, blocks, run_script

TUTORIAL = (DOCS / "tutorial.md").read_text()
REMOVING = (DOCS / "removing.md").read_text()
SET_UP = """\
expci init --no-workflows
git add experiments && git commit --quiet --message "Set up" && git push --quiet
"""
GUARDED = "  # - {name: cost_usd"


@pytest.mark.slow
def test_the_tutorial_reaches_a_decision_and_leaves_no_trace_when_removed(
    repository: Repository, tmp_path: Path
) -> None:
    repository.push("HEAD:main")
    repository.git("branch", "--set-upstream-to", "origin/main")
    [before, decide] = TUTORIAL.split("## 5. Decide\n")
    scripts = blocks(before, "sh", "yaml")
    for script in scripts:
        if script.lstrip().startswith("- {name:"):
            put_guardrail(repository, script)
        else:
            done = run_script(repository, tmp_path / "bin", script)
            assert done.returncode == 0, done.stdout + done.stderr
        if "--prove" in script:
            assert "treatment: in force" in done.stdout
    look, *rest = blocks(decide, "sh")
    done = run_script(repository, tmp_path / "bin", look)
    for _ in range(5):
        if "COLLECTING" not in done.stdout:
            break
        # A busy machine: what the page says for this case.
        again = "expci trial faster-pack --pairs 10\n" + look
        done = run_script(repository, tmp_path / "bin", again)
    assert "faster-pack: promoting" in done.stdout, done.stdout + done.stderr
    for script in rest:
        done = run_script(repository, tmp_path / "bin", script)
        assert done.returncode == 0, done.stdout + done.stderr
    assert "faster-pack" in done.stdout
    assert "gzip -1" in (repository.path / "pack.sh").read_text()
    assert not (repository.path / "experiments/faster-pack").exists()
    set_up = (
        "expci init --no-workflows\ngit add experiments\ngit commit -qm 'Set up'\ngit push -q\n"
    )
    for script in (set_up, *blocks(REMOVING, "sh")):
        done = run_script(repository, tmp_path / "bin", script)
        assert done.returncode == 0, done.stdout + done.stderr
    refs = repository.git("ls-remote", "origin").split()[1::2]
    assert sorted(refs) == ["HEAD", "refs/heads/main"]


def put_guardrail(repository: Repository, line: str) -> None:
    """Put the line where the page says: in place of the comment about `cost_usd`."""
    path = repository.path / "experiments/faster-pack/experiment.yml"
    old = path.read_text().splitlines(keepends=True)
    assert sum(text.startswith(GUARDED) for text in old) == 1
    path.write_text("".join(line if text.startswith(GUARDED) else text for text in old))
