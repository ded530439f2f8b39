# SPDX-License-Identifier: MIT
"""The harness of `make bench-peers`, with one cheap peer and one short round; figures are not judged."""

import json
import os
import shutil
import subprocess
import sys

import pytest

import server as servers

for folder in ("tests/bench", "tests/bench/peers"):
    sys.path.append(os.path.join(servers.TOP, folder))
import calls  # noqa: E402
import client  # noqa: E402
import contest  # noqa: E402
from rounds import Contestant  # noqa: E402

RUN = os.path.join(servers.TOP, "tests/bench/peers/run")
OWN_LINE_BYTES = 75

pytestmark = pytest.mark.skipif(servers.IS_SANITIZED, reason="what sanitizers do to rates tells nothing of the harness")


def run(folder, *options, **environment):
    """The table and what was written down."""
    path = os.path.join(folder, "peers.json")
    done = subprocess.run([sys.executable, RUN, "--rounds", "1", "--seconds", "0.1", "--json", path, *options],
                          env=dict(os.environ, **environment), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                          check=False)
    assert done.returncode == 0, done.stderr
    with open(path, encoding="utf-8") as file:
        return done.stdout, json.load(file)


def processes_with(mark):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/environ", "rb") as file:
                if mark.encode() in file.read():
                    found.append(int(pid))
        except (FileNotFoundError, PermissionError, ProcessLookupError):
            pass
    return found


@pytest.mark.skipif(not shutil.which("node"), reason="node is not installed")
def test_one_round_with_one_peer_gives_figures_and_leaves_no_process(tmp_path):
    mark = f"MARK={tmp_path}"
    shown, record = run(tmp_path, "--peers", "node", "--scenarios", "F1,U64", MARK=str(tmp_path))
    by_scenario = {result["scenario"]: result["series"] for result in record["results"]}
    assert {name: sorted(series) for name, series in by_scenario.items()} == {
        "F1": ["each", "millrace", "own", "same"], "U64": ["millrace", "own"]}
    for series in by_scenario.values():
        for one in series.values():
            assert one["rounds"][0]["lines_per_s"] > 0
            assert one["rounds"][0]["cpu_us_per_line"] > 0
            assert one["pss_bytes"] > 100_000
    bytes_per_line = {kind: one["rounds"][0]["bytes_per_s"] / one["rounds"][0]["lines_per_s"]
                      for kind, one in by_scenario["F1"].items()}
    assert OWN_LINE_BYTES - 8 < bytes_per_line["own"] < OWN_LINE_BYTES + 8
    assert abs(bytes_per_line["same"] / bytes_per_line["millrace"] - 1) < 0.05
    called = {kind: one["calls_per_line"] for kind, one in by_scenario["F1"].items()}
    if None not in called.values():  # nothing may be traced here
        # How many lines a call takes with it is the load's: which has fewer calls is no test.
        assert all(0 < count < 10 for count in called.values()), called
        assert 0 < called["millrace"] < 1
    assert "Node.js" in shown
    assert not processes_with(mark)


@pytest.mark.parametrize("kind, streams, lines, counted", [
    ("millrace", 1, 100, 20_000), ("millrace", 32, 100, 20_000), ("millrace", 32, 5000, 160_000),
    ("millrace", 1, 9_000_000, 400_000), ("each", 1, 9_000_000, 20_000), ("each", 1, 100, 20_000)])
def test_calls_are_counted_over_many_lines_also_where_a_busy_machine_had_few(kind, streams, lines, counted):
    load = calls.shortened(client.Load(streams, lines), kind)
    assert (load.streams, load.streams * load.lines) == (streams, counted)


def test_a_peer_that_is_not_installed_costs_its_own_row_only(tmp_path):
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "setpriv").symlink_to(shutil.which("setpriv"))
    shown, record = run(tmp_path, "--peers", "node", "--scenarios", "U64", PATH=str(programs))
    assert record["results"] == [{"scenario": "U64", "peer": "node", "said": "not installed: node"}]
    assert "not installed: node" in shown


def test_a_measurement_with_bad_answers_is_made_again_and_kept_in_mind(monkeypatch):
    outcomes = iter([client.Failed("1 truncated"), client.Failed("2 failed"), {"lines_per_s": 5.0}])

    def measure(*_, **__):
        outcome = next(outcomes)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(contest.client, "measure", measure)
    bad = []
    assert contest.measured(Contestant("own", None, client.Load()), bad) == {"lines_per_s": 5.0}
    assert bad == ["1 truncated", "2 failed"]


def test_a_server_that_always_answers_badly_has_no_figures(monkeypatch):
    def measure(*_, **__):
        raise client.Failed("1 truncated")

    monkeypatch.setattr(contest.client, "measure", measure)
    with pytest.raises(client.Failed):
        contest.measured(Contestant("own", None, client.Load()), [])
