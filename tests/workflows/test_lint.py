"""What `expci init` writes passes the linters that this repository's own workflows pass."""

from pathlib import Path

from expci.flows.setup.init import initialize
from support.linters import lint

PIN = "0123456789abcdef0123456789abcdef01234567"
DEFAULTS = "version: 1\nroots: [experiments, 'services/größe/experiments']\n"
USER = """\
name: 'build: "fast" & #1'
on: push
jobs:
  build:
    runs-on: ubuntu-latest
    steps:
      - uses: expci/expci/.github/actions/assign@main
"""


def test_the_written_workflows_have_no_findings(tmp_path: Path) -> None:
    (tmp_path / "experiments").mkdir()
    (tmp_path / "experiments/expci.yml").write_text(DEFAULTS)
    workflows = tmp_path / ".github/workflows"
    workflows.mkdir(parents=True)
    (workflows / "build.yml").write_text(USER)
    initialize(tmp_path, PIN)
    assert "größe" in (workflows / "expci-lab.yml").read_text()
    assert '"build: \\"fast\\" & #1"' in (workflows / "expci-pass.yml").read_text()
    (workflows / "build.yml").unlink()  # its own sins are its author's
    assert lint(tmp_path) == ""


def test_each_linter_has_a_say(tmp_path: Path) -> None:
    (tmp_path / ".github/workflows").mkdir(parents=True)
    (tmp_path / ".github/actions/a").mkdir(parents=True)
    (tmp_path / ".github/actions/a/action.yml").write_text("name: a\n")
    (tmp_path / ".github/workflows/a.yml").write_text(
        "on: push\nxyz: 1\njobs:\n  a:\n    runs-on: ubuntu-latest\n    steps:\n"
        "      - run: echo $MISSING_QUOTES ${{ github.event.issue.title }}\n"
    )
    said = lint(tmp_path)
    for word in ("template-injection", "excessive-permissions", "SC2086", "'xyz'", "'runs'"):
        assert word in said
