"""What a record's own output says of the arms."""

from __future__ import annotations

from expci.runner.record.by_arm import ArmRecords, by_arm, lines_by_arm
from support.ledger_samples import trial


def test_control_comes_first_and_reasons_are_counted() -> None:
    records = [
        trial("b", status="timeout"),
        trial("a", excluded="file_changed"),
        trial("a", excluded="file_changed", status="failed"),
        trial("a"),
        trial("control"),
    ]
    assert list(lines_by_arm(by_arm(records))) == [
        "  control: 1",
        "  a: 3, 1 failed, 2 not counted (file_changed)",
        "  b: 1, 1 timeout",
    ]
    assert by_arm(records)["control"] == ArmRecords(1)


def test_nothing_recorded_says_nothing() -> None:
    assert list(lines_by_arm(by_arm([]))) == []
