"""JUnit's XML, as pytest, Surefire, Jest and many others write it: one run per file.

The document is hostile: it is read as a stream, and one that declares entities is refused.
"""

from __future__ import annotations

from collections import Counter
from xml.parsers import expat

from expci.errors import InvalidRecord
from expci.runner.formats.reading import Run, ToolRuns, finite_number

_OUTCOMES = {"failure": "failures", "error": "errors", "skipped": "skips"}


def read(data: bytes) -> ToolRuns:
    """Return one run: how many tests, failures, errors and skips, the pass rate and the time.

    `pass_rate` is the share, 0 to 1, of the tests that were not skipped; it is omitted where
    all were. `tests_s` is the sum of the test cases' times, in seconds.
    """
    cases = _Cases()
    parser = expat.ParserCreate()
    parser.StartElementHandler = cases.start
    parser.EndElementHandler = cases.end
    parser.StartDoctypeDeclHandler = _refuse
    try:
        parser.Parse(data, True)
    except expat.ExpatError as error:
        raise InvalidRecord(f"it is not XML: {error}") from error
    if not cases.tests:
        root = cases.root or "nothing"
        raise InvalidRecord(f"no `testcase` of JUnit in it: the document is <{root[:60]}>")
    return ToolRuns([Run(cases.metrics())])


def _refuse(*_: object) -> None:
    raise InvalidRecord("it declares a document type, which no JUnit report needs")


class _Cases:
    """The test cases of a stream of elements. A case has one outcome, the first that is named."""

    def __init__(self) -> None:
        self.root = ""
        self.tests = 0
        self.seconds = 0.0
        self.outcomes: Counter[str] = Counter()
        self._is_open = False

    def start(self, name: str, attributes: dict[str, str]) -> None:
        self.root = self.root or name
        if name == "testcase":
            self.tests += 1
            self._is_open = True
            self.seconds += _seconds(attributes.get("time", ""))
        elif self._is_open and name in _OUTCOMES:
            self.outcomes[_OUTCOMES[name]] += 1
            self._is_open = False

    def end(self, name: str) -> None:
        if name == "testcase":
            self._is_open = False

    def metrics(self) -> dict[str, float]:
        counts = {f"test_{name}": float(self.outcomes[name]) for name in _OUTCOMES.values()}
        executed = self.tests - self.outcomes["skips"]
        passed = executed - self.outcomes["failures"] - self.outcomes["errors"]
        rate = {"pass_rate": passed / executed} if executed else {}
        return {"tests": float(self.tests), **counts, **rate, "tests_s": self.seconds}


def _seconds(text: str) -> float:
    try:
        return finite_number(float(text.replace(",", ""))) or 0.0  # Surefire writes 1,234.5
    except ValueError:
        return 0.0
