"""`init`: writes what is missing, and never over what a person changed."""

from pathlib import Path

import jsonschema  # type: ignore[import-untyped]
import pytest

from expci.core.defaults import read_defaults
from expci.core.document import read_document
from expci.core.schema import defaults_schema
from expci.errors import ExpciError
from expci.flows.init import DEFAULTS_TEXT, InitResult, initialize

FILES = ("experiments/expci.yml", "experiments/README.md")


def test_again_changes_nothing_and_says_what_it_kept(tmp_path: Path) -> None:
    assert initialize(tmp_path) == InitResult(written=FILES, kept=(), changed=())
    assert initialize(tmp_path) == InitResult(written=(), kept=FILES, changed=())
    (tmp_path / FILES[0]).write_text("version: 1\ntimeout: 5m\n")
    (tmp_path / FILES[1]).unlink()
    assert initialize(tmp_path) == InitResult(written=FILES[1:], kept=(), changed=FILES[:1])
    assert (tmp_path / FILES[0]).read_text() == "version: 1\ntimeout: 5m\n"


def test_the_defaults_are_valid_also_with_every_comment_opened() -> None:
    assert read_defaults(DEFAULTS_TEXT).problems == ()
    head, _, keys = DEFAULTS_TEXT.partition("version: 1\n")
    assert head
    opened = "version: 1\n" + keys.replace("# ", "", keys.count("\n# ") + 1)
    lines = [line.removeprefix("# ") for line in keys.splitlines()]
    opened = "version: 1\n" + "\n".join(lines) + "\n"
    assert read_defaults(opened).problems == ()
    data = read_document(opened, "f").data
    assert {"roots", "ledger", "plan", "decision", "assignment", "share"} <= data.keys()
    jsonschema.validate(data, defaults_schema())


def test_a_link_or_a_file_in_its_place_is_refused(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "a").mkdir()
    (tmp_path / "a/experiments").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ExpciError, match="symlink"):
        initialize(tmp_path / "a")
    assert list((tmp_path / "elsewhere").iterdir()) == []
    (tmp_path / "experiments").write_text("")
    with pytest.raises(ExpciError, match="is a file"):
        initialize(tmp_path)
