"""The `expci.analysis/1` document: an `Analysis` as JSON, and back.

The one difference from the values: `trials` holds the counted trials by arm and, under
`excluded`, the others by reason. So no arm may have that name any more; a document about one
that has tells only the reasons.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import msgspec

from expci.core.model.experiment import to_json
from expci.core.model.results import Analysis, TrialCounts
from expci.errors import LedgerDamaged

EXCLUDED = "excluded"


def analysis_document(analysis: Analysis) -> dict[str, Any]:
    """Return the document as plain data, its schema first.

    >>> from support.report_samples import analysis
    >>> list(analysis_document(analysis()))[:3]
    ['schema', 'experiment', 'plan']
    """
    return {"schema": analysis.schema, **_plain(analysis)}


def _plain(analysis: Analysis) -> dict[str, Any]:
    document = {**to_json(analysis), "trials": counts_document(analysis.trials)}
    for key in ("refused", "dropped", "cases"):
        if not document[key]:
            del document[key]
    for metric in document["metrics"]:
        if metric["unit"] is None:
            del metric["unit"]
    if document["progress"]["budget"] is None:
        del document["progress"]["budget"]
    return document


def counts_document(counts: TrialCounts) -> dict[str, Any]:
    """Return counted trials by arm, and by reason those that are not counted.

    >>> counts_document(TrialCounts({"control": 12, "treatment": 11}, {"rerun": 2}))
    {'control': 12, 'treatment': 11, 'excluded': {'rerun': 2}}
    """
    return {**counts.arms, EXCLUDED: dict(counts.excluded)}


def dump_analysis(analysis: Analysis) -> bytes:
    """Return the document as the ledger keeps it: `schema` last, as it always was.

    >>> from support.report_samples import analysis
    >>> dump_analysis(analysis()).decode().splitlines()[1]
    ' "experiment": "parallel-review",'
    """
    return json.dumps(_plain(analysis), indent=1, ensure_ascii=False).encode() + b"\n"


def load_analysis(data: bytes) -> Analysis:
    """Return the analysis of a document; `LedgerDamaged` where it cannot be one.

    >>> from support.report_samples import analysis
    >>> load_analysis(dump_analysis(analysis())) == analysis()
    True
    """
    try:
        document = msgspec.json.decode(data, type=dict[str, Any])
        trials = msgspec.convert(document.get("trials"), dict[str, Any])
        return msgspec.convert({**document, "trials": _counts(trials)}, Analysis)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise LedgerDamaged(f"an analysis in the ledger cannot be read: {error}") from error


def _counts(trials: Mapping[str, Any]) -> dict[str, Any]:
    arms = {name: count for name, count in trials.items() if name != EXCLUDED}
    return {"arms": arms, "excluded": trials.get(EXCLUDED, {})}
