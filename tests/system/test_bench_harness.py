# SPDX-License-Identifier: MIT
"""`make bench` measures what it says, in turn, and compares what belongs together."""

import json
import os
import subprocess
import sys

import pytest

import server as servers

HARNESS = os.path.join(servers.TOP, "tests/bench")
sys.path.append(HARNESS)
import measures  # noqa: E402
import report  # noqa: E402
import rounds  # noqa: E402
from client import Failed, Load, ask  # noqa: E402
from rounds import Contestant, Spread  # noqa: E402

pytestmark = pytest.mark.skipif(servers.IS_SANITIZED, reason="nothing is measured with sanitizers")


def test_a_run_measures_every_contestant_in_every_round_and_writes_it_down(tmp_path):
    results = tmp_path / "results.json"
    done = subprocess.run([os.path.join(HARNESS, "run"), "--only", "u64,stalled", "--rounds", "2", "--seconds", "0.05",
                           "--json", results], check=True, capture_output=True, text=True, timeout=50)
    record = json.loads(results.read_text())
    assert record["machine"]["commit"] and record["rounds"] == 2
    series = {name: one["series"] for name, one in record["scenarios"].items()}
    assert {name: list(each) for name, each in series.items()} == {
        "U64": ["millrace", "gathered", "pipe"], "stalled": ["undisturbed", "stalled"]}
    for each in series.values():
        for figures in each.values():
            assert len(figures) == 2
            assert all(one["lines_per_s"] > 0 and one["cpu_us_per_line"] > 0 for one in figures)
            assert all(0 < one["latency_p50_us"] <= one["latency_p99_us"] for one in figures)
    # The others read as many lines beside a stalled client as without it.
    assert series["stalled"]["stalled"][0]["lines"] == series["stalled"]["undisturbed"][0]["lines"]
    assert [(one["scenario"], one["verdict"]) for one in record["measures"]] == [
        ("U64", record["measures"][0]["verdict"]), ("stalled", record["measures"][1]["verdict"])]
    assert "requests/s against one process" in done.stdout


def test_a_scenario_that_does_not_exist_is_named():
    done = subprocess.run([os.path.join(HARNESS, "run"), "--only", "F1,nonsense"], check=False, capture_output=True,
                          text=True, timeout=20)
    assert done.returncode == 1
    assert "no such scenario: nonsense" in done.stderr


# ---- what comes of figures ----------------------------------------------------------------------------


@pytest.mark.parametrize("is_least, value, verdict", [
    (True, 0.9, "as aimed"), (True, 0.8, "as aimed"), (True, 0.6, "enough"), (True, 0.4, "NOT ENOUGH"),
    (False, 0.4, "as aimed"), (False, 0.6, "enough"), (False, 0.9, "NOT ENOUGH"),
])
def test_a_verdict_is_about_the_median(is_least, value, verdict):
    bound, aim = (0.5, 0.8) if is_least else (0.8, 0.5)
    measure = measures.Measure("F1", "a", "lines_per_s", "b", bound, aim, is_least, "")
    assert measures.Outcome(measure, Spread(value, 0.0, 2.0)).verdict == verdict


def test_ratios_are_of_the_same_round():
    series = {"a": [{"x": 2.0}, {"x": 9.0}, {"x": 4.0}], "b": [{"x": 1.0}, {"x": 3.0}, {"x": 4.0}]}
    assert rounds.ratios(series, "x", "a", "b") == [2.0, 3.0, 1.0]
    assert rounds.spread(rounds.ratios(series, "x", "a", "b")) == Spread(2.0, 1.0, 3.0)


def test_every_measure_is_of_a_scenario_that_exists():
    import scenarios  # pylint: disable=import-outside-toplevel
    names = {one.name for one in scenarios.SCENARIOS}
    assert {one.scenario for one in measures.MEASURES} <= names


def test_numbers_are_shown_with_four_digits():
    shown = [report.scaled(value) for value in (0, 0.0012345, 0.12345, 1.5, 999.44, 9999.4, 12_345, 1_234_567, 2.5e9)]
    assert shown == ["0", "0.00123", "0.1235", "1.5", "999.4", "9999", "12.35 k", "1.235 M", "2.5 G"]


# ---- loads --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("load, lines_per_s, lines, requests", [
    (Load(streams=2, lines=100), 1e6, 150_000, 2),
    (Load(streams=2, lines=100), 1e3, 150, 2),
    (Load(streams=2, lines=1), 1e5, 1, 30_000),
    (Load(lines=5, pace_ms=10), 1e2, 5, 1),
], ids=["fast", "slow", "unary", "paced"])
def test_a_load_is_made_as_long_as_wanted(monkeypatch, load, lines_per_s, lines, requests):
    def measure(_server, one):
        return {"seconds": one.request_count * one.lines / lines_per_s}

    monkeypatch.setattr(rounds.client, "measure", measure)
    sized = rounds.sized(Contestant("a", None, load), 0.3).load
    assert sized.lines == pytest.approx(lines, abs=1)
    assert sized.request_count == pytest.approx(requests, abs=1)


def test_an_answer_that_is_not_complete_is_no_measurement(start):
    address = start(os.path.join(servers.TOP, "build/bench/lines.so"))
    assert ask(address.port, Load(lines=3))["lines"] == 3
    with pytest.raises(Failed, match="1 failed"):
        ask(address.port, Load(pace_ms=-1))
