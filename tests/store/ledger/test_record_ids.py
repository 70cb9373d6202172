"""An index of ids names each record that its segment holds."""

from __future__ import annotations

import json

from hypothesis import given
from hypothesis import strategies as st

from expci.core.model.trial import Amendment, derived_trial_id
from expci.store.ledger.record_ids import dump_index, is_any_in, lines_with_ids
from support.ledger_samples import trial
from support.properties import examples

IDS = [derived_trial_id(str(n)) for n in range(6)]
OTHER_IDS = ["", "short", "é" * 13, "x\ny", "7", "None"]
TIME = "2026-11-22T10:00:00.000Z"


def line(number: int, form: str) -> str:
    one = (IDS + OTHER_IDS)[number]
    if form == "trial":
        return trial(id=one).line()
    if form == "amendment":
        return Amendment(one, IDS[0], "speed", TIME, {"score": 1.0}).line()
    if form == "spaced":
        return json.dumps({"id": one, "v": 1})
    return form + one


lines = st.builds(
    line, st.integers(0, 11), st.sampled_from(["trial", "amendment", "spaced", "[1]", "{", ""])
)


@examples(200)
@given(st.lists(lines.filter(lambda own: "\n" not in own), max_size=20))
def test_a_record_is_in_the_index_of_its_segment(own: list[str]) -> None:
    data = "".join(one + "\n" for one in own).encode()
    index = dump_index(data)
    for wanted in (*IDS, *OTHER_IDS[1:]):
        if wanted in lines_with_ids(data.splitlines(), {wanted}):
            assert is_any_in(index, [wanted])


def test_an_id_that_no_line_has_is_not_in_the_index() -> None:
    data = "".join(trial(id=one).line() + "\n" for one in IDS[1:]).encode()
    assert not is_any_in(dump_index(data), [IDS[0], "short"])
    assert not is_any_in(dump_index(b""), IDS)
