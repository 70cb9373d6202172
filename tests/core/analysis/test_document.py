"""The analysis as a document, and back."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from expci.core.analysis.document import analysis_document, dump_analysis, load_analysis
from expci.core.model.results import TrialCounts
from expci.errors import LedgerDamaged
from support import report_samples


def test_an_analysis_reads_back_as_it_was_written() -> None:
    analysis = report_samples.collecting()
    assert load_analysis(dump_analysis(analysis)) == analysis


def test_counted_arms_and_reasons_share_the_mapping_that_version_1_has() -> None:
    counts = TrialCounts({"control": 3, "fast": 2}, {"file_changed": 1})
    document = analysis_document(replace(report_samples.collecting(), trials=counts))
    assert document["trials"] == {"control": 3, "fast": 2, "excluded": {"file_changed": 1}}
    assert next(iter(document)) == "schema"
    stored = json.loads(dump_analysis(replace(report_samples.collecting(), trials=counts)))
    assert list(stored)[-1] == "schema"


def test_an_arm_of_the_name_excluded_is_counted_though_its_document_cannot_say_so() -> None:
    """Such arms are refused now; older ledgers have them."""
    counts = TrialCounts({"control": 3, "excluded": 2}, {"file_changed": 1})
    written = dump_analysis(replace(report_samples.collecting(), trials=counts))
    assert load_analysis(written).trials == TrialCounts({"control": 3}, {"file_changed": 1})


def test_criteria_from_before_there_were_codes_are_read() -> None:
    document = analysis_document(report_samples.collecting())
    for criterion in document["decision"]["criteria"]:
        for key in ("code", "arm", "about"):
            criterion.pop(key, None)
    again = load_analysis(json.dumps(document).encode())
    assert {criterion.code for criterion in again.decision.criteria} == {None}


@pytest.mark.parametrize("trials", [[], "3", {"control": "many"}, {"excluded": 3}, None])
def test_what_is_no_analysis_is_refused(trials: object) -> None:
    document = {**analysis_document(report_samples.collecting()), "trials": trials}
    with pytest.raises(LedgerDamaged, match="cannot be read"):
        load_analysis(json.dumps(document).encode())
