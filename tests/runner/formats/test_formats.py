"""Files that other tools wrote, and what each reader makes of them.

The expected values are those that stand in the files (tests/fixtures/formats/README.md says how
each was made), not what the readers returned.
"""

from __future__ import annotations

import json
import re
from pathlib import Path
from statistics import fmean

import pytest

from expci.core.model.metrics_formats import FORMATS
from expci.errors import InvalidRecord
from expci.runner import formats
from expci.runner.formats.reading import ToolRuns, metric_name

ROOT = Path(__file__).parents[3]
FILES = ROOT / "tests" / "fixtures" / "formats"


def read(format: str, name: str) -> ToolRuns:
    return formats.read(format, (FILES / name).read_bytes())


def refusal(format: str, data: bytes) -> str:
    with pytest.raises(InvalidRecord) as error:
        formats.read(format, data)
    return str(error.value)


def test_each_format_that_a_spec_may_name_has_a_reader() -> None:
    assert set(formats.READERS) == set(FORMATS)


def test_hyperfine_gives_a_run_for_each_time() -> None:
    reading = read("hyperfine", "hyperfine.json")
    times = json.loads((FILES / "hyperfine.json").read_text())["results"][0]["times"]
    assert [run.metrics for run in reading.runs] == [{"duration_s": time} for time in times]
    assert {run.status for run in reading.runs} == {"ok"}
    mean = reading.as_one_trial()
    assert mean["duration_s"] == pytest.approx(fmean(times))
    assert mean["hyperfine_mean_s"] == pytest.approx(fmean(times), rel=1e-6)
    assert mean["hyperfine_min_s"] == min(times)


def test_hyperfine_of_two_commands_is_of_no_arm() -> None:
    problem = refusal("hyperfine", (FILES / "hyperfine_two.json").read_bytes())
    assert "2 commands" in problem
    assert "sleep 0.01" in problem
    assert "a file of its own" in problem


def test_runs_of_hyperfine_that_fail_are_failed() -> None:
    both = json.loads((FILES / "hyperfine_two.json").read_text())
    first = json.dumps({"results": both["results"][:1]}).encode()
    assert both["results"][0]["exit_codes"] == [1, 1, 1, 1]
    assert [run.status for run in formats.read("hyperfine", first).runs] == ["failed"] * 4


def test_pytest_benchmark_gives_the_mean_of_each_benchmark() -> None:
    (run,) = read("pytest-benchmark", "pytest_benchmark.json").runs
    document = json.loads((FILES / "pytest_benchmark.json").read_text())
    means = {item["name"]: item["stats"]["mean"] for item in document["benchmarks"]}
    assert run.metrics == {
        "test_sort_s": means["test_sort"],
        "test_sum_10_s": means["test_sum[10]"],
        "test_sum_100_s": means["test_sum[100]"],
    }


def test_junit_counts_cases_by_outcome() -> None:
    (run,) = read("junit", "junit.xml").runs
    seconds = run.metrics["tests_s"]
    assert run.metrics == {
        "tests": 4,
        "test_failures": 1,
        "test_errors": 1,
        "test_skips": 1,
        "pass_rate": 1 / 3,
        "tests_s": seconds,
    }
    assert 0 <= seconds < 0.1


def test_junit_that_declares_entities_is_refused() -> None:
    bomb = b'<!DOCTYPE a [<!ENTITY b "bbb">]><testsuite><testcase name="&b;"/></testsuite>'
    assert "document type" in refusal("junit", bomb)
    utf16 = '<?xml version="1.0" encoding="UTF-16"?><!DOCTYPE a><testcase/>'.encode("utf-16")
    assert "document type" in refusal("junit", utf16)


def test_a_case_of_junit_has_one_outcome() -> None:
    data = b"<testsuite><testcase><failure/><error/></testcase><testcase/></testsuite>"
    (run,) = formats.read("junit", data).runs
    assert (run.metrics["test_failures"], run.metrics["test_errors"]) == (1, 0)
    assert run.metrics["pass_rate"] == 0.5


def test_go_gives_a_run_for_each_repetition() -> None:
    first, second = read("go-bench", "go_bench.txt").runs
    text = (FILES / "go_bench.txt").read_text()
    nanoseconds = [
        float(line.split()[2]) for line in text.splitlines() if line.startswith("BenchmarkJoin")
    ]
    assert [first.metrics["Join_ns"], second.metrics["Join_ns"]] == nanoseconds
    assert first.metrics["Join_bytes"] == 5
    assert first.metrics["Join_allocs"] == 1
    assert first.metrics["Size_small_widgets_per_op"] == 3.5
    assert "Size_large_mb_per_s" in second.metrics
    assert first.status == "ok"


def test_go_as_json_lines_reads_as_its_text() -> None:
    (run,) = read("go-bench", "go_bench.json").runs
    assert run.metrics["Join_ns"] == 43.12
    assert run.metrics["Size_small_widgets_per_op"] == 3.5


def test_the_number_of_processors_is_no_part_of_a_benchmark_of_go() -> None:
    text = b"BenchmarkHash/sha-256-8 10 5 ns/op\nBenchmarkHash/md5-8 10 4 ns/op\n"
    (run,) = formats.read("go-bench", text).runs
    assert run.metrics == {"Hash_sha-256_ns": 5, "Hash_md5_ns": 4}
    alone = b"BenchmarkHash/sha-256 10 5 ns/op\nBenchmarkHash/md5 10 4 ns/op\n"
    assert set(formats.read("go-bench", alone).runs[0].metrics) == {
        "Hash_sha-256_ns",
        "Hash_md5_ns",
    }


def test_go_tests_that_fail_make_failed_runs() -> None:
    text = b"BenchmarkA 10 5 ns/op\n--- FAIL: TestB (0.00s)\nFAIL\n"
    assert formats.read("go-bench", text).runs[0].status == "failed"


def test_criterion_gives_its_typical_estimate() -> None:
    assert read("criterion", "criterion.json").runs[0].metrics == {"norm_ns": 3419.4923993891925}


def test_criterion_as_raw_csv_gives_the_time_of_an_iteration() -> None:
    total = 915000 + 1964000 + 2812000 + 3767000
    iterations = 110740 + 221480 + 332220 + 442960
    (run,) = read("criterion", "criterion_raw.csv").runs
    assert run.metrics == {"Fibonacci_Iterative_ns": pytest.approx(total / iterations)}


def test_criterion_s_own_files_give_the_time_of_an_iteration() -> None:
    rows = (FILES / "criterion_bench_raw.csv").read_text().splitlines()[1:]
    samples = [row.split(",") for row in rows]
    total, iterations = (sum(float(row[k]) for row in samples) for k in (5, 7))
    (run,) = read("criterion", "criterion_bench_raw.csv").runs
    assert run.metrics == {"sum_long_100_ns": pytest.approx(total / iterations)}
    estimates = json.loads((FILES / "criterion_estimates.json").read_text())
    (run,) = read("criterion", "criterion_estimates.json").runs
    assert run.metrics == {"criterion_ns": estimates["slope"]["point_estimate"]}


def test_the_tests_of_node_stand_in_suites_and_beside_them() -> None:
    (run,) = read("junit", "junit_node.xml").runs
    assert run.metrics == {
        "tests": 4,
        "test_failures": 1,
        "test_errors": 0,
        "test_skips": 1,
        "pass_rate": pytest.approx(2 / 3),
        "tests_s": pytest.approx(0.000845 + 0.001101 + 0.000216 + 0.000119),
    }


def test_criterion_as_estimates_gives_the_slope_or_the_mean() -> None:
    slope = {"mean": {"point_estimate": 5.0}, "slope": {"point_estimate": 4.0}}
    flat = {"mean": {"point_estimate": 5.0}, "slope": None}
    assert formats.read("criterion", json.dumps(slope).encode()).runs[0].metrics == {
        "criterion_ns": 4.0
    }
    assert formats.read("criterion", json.dumps(flat).encode()).runs[0].metrics == {
        "criterion_ns": 5.0
    }


def test_a_promptfoo_that_numbers_no_tests_tells_them_apart_by_their_variables() -> None:
    """As versions of 2024 write them (`EvaluateResult` of promptfoo's "Node package" page then)."""
    document = json.loads((FILES / "promptfoo.json").read_text())
    results = document["results"]["results"]
    for number, item in enumerate(results):
        del item["promptIdx"], item["testIdx"]
        item["testCase"] = {}
        item |= {
            "vars": {"topic": f"t{number}"},
            "prompt": {"raw": f"About t{number}", "label": "a"},
        }
    units = [run.unit for run in formats.read("promptfoo", json.dumps(document).encode()).runs]
    assert len(set(units)) == len(results)
    results.reverse()  # they stand in the order in which they ended
    again = [run.unit for run in formats.read("promptfoo", json.dumps(document).encode()).runs]
    assert again == units[::-1]
    results[0]["prompt"] = {"raw": "On t0", "label": "b"}
    assert "2 prompts or providers" in refusal("promptfoo", json.dumps(document).encode())


def test_claude_gives_cost_turns_and_tokens() -> None:
    (run,) = read("claude", "claude.json").runs
    assert run.metrics == {
        "cost_usd": 0.026225,
        "turns": 2,
        "duration_s": 0.435,
        "api_s": 0.129,
        "input_tokens": 2400,
        "output_tokens": 59,
        "cache_read_tokens": 18000,
        "cache_write_tokens": 600,
        "permission_denials": 0,
    }
    assert run.status == "ok"


def test_a_stream_of_claude_also_gives_its_tool_calls() -> None:
    (run,) = read("claude", "claude_stream.jsonl").runs
    assert run.metrics["tool_calls"] == 1
    assert run.metrics["cost_usd"] == 0.026225


def test_claude_that_ran_out_of_turns_has_failed() -> None:
    (run,) = read("claude", "claude_max_turns.json").runs
    assert (run.status, run.metrics["turns"]) == ("failed", 2)


def test_claude_states_its_model_and_from_a_stream_its_version() -> None:
    model = {"model": "claude-opus-4-8[1m]"}
    assert read("claude", "claude.json").conditions == model
    stream = read("claude", "claude_stream.jsonl").conditions
    assert stream == {**model, "cli_version": "2.1.197"}
    # Small tasks of a session go to a small model: the one that cost most is named.
    usage = {"small": {"costUSD": 0.01}, "large": {"costUSD": 0.5}, "odd": 3}
    text = json.dumps({"type": "result", "modelUsage": usage}).encode()
    assert formats.read("claude", text).conditions == {"model": "large"}


def test_a_separator_of_lines_within_a_message_is_no_end_of_it() -> None:
    stream = (FILES / "claude_stream.jsonl").read_bytes()
    note = '{"type":"system","note":"one\u2028two"}\n'.encode()
    assert formats.read("claude", note + stream).runs == read("claude", "claude_stream.jsonl").runs


@pytest.mark.parametrize("name", formats.READERS)
@pytest.mark.parametrize("data", [b"[]", b"{}", b"null", b"[[]]", b'"text"', b"[" * 99_999])
def test_json_of_another_shape_is_refused(name: str, data: bytes) -> None:
    with pytest.raises(InvalidRecord):
        formats.read(name, data)


def test_a_stream_of_claude_that_was_cut_off_is_refused() -> None:
    lines = (FILES / "claude_stream.jsonl").read_bytes().splitlines(keepends=True)
    assert "the run did not end" in refusal("claude", b"".join(lines[:-1]))


def test_promptfoo_gives_a_run_for_each_test() -> None:
    runs = read("promptfoo", "promptfoo.json")
    first, second, third, fourth = runs.runs
    # As promptfoo printed them: one test of four passed, two failed, one ended in an error.
    assert first.metrics == {
        "passed": 1,
        "score": 1,
        "cost_usd": 0.002,
        "latency_s": 0.061,
        "tokens": 16,
    }
    assert [first.unit, fourth.unit] == ["test-0 greets", "test-3"]
    assert (second.metrics["passed"], second.status) == (0, "ok")
    assert (third.metrics["cost_usd"], third.status) == (0, "error")
    assert (fourth.metrics["passed"], fourth.metrics["score"], fourth.status) == (0, 0.5, "ok")
    assert runs.summary == {"pass_rate": 0.25}


def test_promptfoo_of_two_providers_is_of_no_arm() -> None:
    document = json.loads((FILES / "promptfoo.json").read_text())
    document["results"]["results"][1]["provider"] = {"id": "other"}
    assert "2 prompts or providers" in refusal("promptfoo", json.dumps(document).encode())


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"", "empty|no element"),
        (b"\xff\xfe\x00", "text|XML"),
        (b"nonsense", "nonsense|XML"),
        (b'{"answer": 42}', "'answer'|XML|answer"),
        (b"[1, 2]", "2 items|XML|begins"),
        (b'{"results": [{"a": 1}]}', "'a'|'results'|XML|results"),
        (b"[" * 100_000, "JSON|XML|begins"),
    ],
)
def test_an_unknown_shape_is_an_error_that_names_it(format: str, data: bytes, says: str) -> None:
    problem = refusal(format, data)
    assert any(word in problem for word in says.split("|")), problem


@pytest.mark.parametrize(
    ("format", "name"),
    [
        ("hyperfine", "hyperfine.json"),
        ("pytest-benchmark", "pytest_benchmark.json"),
        ("claude", "claude.json"),
        ("promptfoo", "promptfoo.json"),
        ("criterion", "criterion.json"),
        ("go-bench", "go_bench.txt"),
        ("junit", "junit.xml"),
    ],
)
def test_a_file_that_was_cut_off_is_never_a_crash(format: str, name: str) -> None:
    data = (FILES / name).read_bytes()
    for end in range(0, len(data), max(1, len(data) // 97)):
        try:
            formats.read(format, data[:end])
        except InvalidRecord:
            continue


def test_names_of_benchmarks_become_names_of_metrics() -> None:
    assert metric_name("tests/a.py::test_b[x y]", "s") == "tests_a.py_test_b_x_y_s"
    assert metric_name("9lives", "ns") == "_9lives_ns"
    long = metric_name("a" * 200, "bytes")
    assert len(long) == 64
    assert long.endswith("_bytes")


def test_the_documentation_shows_what_was_read_from_each_file() -> None:
    text = (ROOT / "docs" / "metrics.md").read_text()
    row = re.compile(r"^\| `([\w.]+)` \| `([\w-]+)` \| .* \| (\d+) \| (.*) \|$", re.MULTILINE)
    of_file = {
        file: (format, int(runs), values) for file, format, runs, values in row.findall(text)
    }
    refused = {"hyperfine_two.json"}
    assert of_file.keys() | refused == {p.name for p in FILES.iterdir() if p.name != "README.md"}
    for file, (format, runs, values) in of_file.items():
        first, *others = read(format, file).runs
        assert 1 + len(others) == runs, file
        stated = {name: float(value) for name, value in re.findall(r"`(\w+)` ([^,]+)", values)}
        metrics = {name: first.metrics[name] for name in list(first.metrics)[:4]}
        assert stated == pytest.approx(metrics, rel=0.001), file
