"""Trials as Parquet: pyarrow's own reader sees them, and they come back as they were."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import UTC, datetime
from io import BytesIO

import pyarrow
import pyarrow.parquet as columns
import pytest
from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.trial import Trial
from expci.core.model.trial_reader import parse_line
from expci.errors import ExpciError
from expci.store import parquet

TRIAL = Trial(
    id="0" * 26,
    experiment="speed",
    plan="a" * 64,
    mode="lab",
    arm="treatment",
    unit="run-1",
    started="2026-11-22T10:00:00.123Z",
    block="b-1",
    metrics={"duration_s": 12.3, "success": 1.0},
    covariates={"size": 3.0, "branch": "main"},
    context={"sha": "abc", "job": "test"},
)


def written(*trials: Trial) -> bytes:
    target = BytesIO()
    parquet.write_trials(lambda: trials, target)
    return target.getvalue()


def read(data: bytes) -> list[object]:
    return [
        parse_line(json.dumps({"v": 1, **json.loads(line)}))
        for line in parquet.json_lines(BytesIO(data))
    ]


def test_columns_have_the_types_that_other_tools_expect() -> None:
    table = columns.read_table(BytesIO(written(TRIAL)))
    assert table.schema.field("started").type == pyarrow.timestamp("ms", tz="UTC")
    assert table.column("started")[0].as_py() == datetime(2026, 11, 22, 10, 0, 0, 123_000, UTC)
    assert table.column("metrics")[0].as_py() == {"duration_s": 12.3, "success": 1.0}
    assert table.schema.field("covariates").type.field("size").type == pyarrow.float64()


def test_what_a_trial_does_not_have_is_no_value_of_it() -> None:
    other = replace(TRIAL, id="1" * 26, metrics={"cost_usd": 2.0}, covariates={}, block=None)
    assert read(written(TRIAL, other)) == [TRIAL, other]


def test_trials_without_metrics_and_no_trials_at_all() -> None:
    empty = replace(TRIAL, metrics={}, covariates={}, context={})
    assert read(written(empty)) == [empty]
    assert read(written()) == []


@pytest.mark.slow
@given(st.lists(st.floats(allow_nan=False, allow_infinity=False), max_size=20))
def test_numbers_come_back_exactly(values: list[float]) -> None:
    trials = [replace(TRIAL, metrics={"score": value}) for value in values]
    assert read(written(*trials)) == trials


def test_a_covariate_of_texts_and_numbers_is_text() -> None:
    mixed = replace(TRIAL, id="1" * 26, covariates={"size": "large", "branch": "main"})
    first, second = read(written(TRIAL, mixed))
    assert isinstance(first, Trial)
    assert first.covariates == {"size": "3.0", "branch": "main"}
    assert second == mixed


def test_missing_values_of_a_data_frame() -> None:
    rows = [{"arm": "control", "metrics": {"duration_s": 1.5, "cost_usd": float("nan")}}]
    target = BytesIO()
    columns.write_table(pyarrow.Table.from_pylist(rows), target)
    [line] = parquet.json_lines(target)
    assert json.loads(line) == {"arm": "control", "metrics": {"duration_s": 1.5}}


@pytest.mark.parametrize("cut", [4, 100, -5])
def test_a_damaged_file_is_refused(cut: int) -> None:
    with pytest.raises(ExpciError, match="the Parquet file cannot be read"):
        list(parquet.json_lines(BytesIO(written(TRIAL)[:cut])))


def test_cells_that_no_record_can_hold_are_refused() -> None:
    target = BytesIO()
    columns.write_table(pyarrow.table({"arm": [b"\xff"]}), target)
    with pytest.raises(ExpciError, match="the Parquet file cannot be read"):
        list(parquet.json_lines(target))
