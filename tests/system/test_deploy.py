# SPDX-License-Identifier: MIT
"""What the pages for those who run a server tell them to type and to write works."""

import os
import re
import subprocess

import pytest
import yaml

from server import IS_SANITIZED, TOP, example

RULES = os.path.join(TOP, "deploy/prometheus/millrace.rules.yml")
NO_NAMESPACES = 77


@pytest.mark.bounded(240)
@pytest.mark.skipif(IS_SANITIZED, reason="the page builds what is released")
def test_the_ten_minutes_can_be_typed_as_they_are_written():
    result = subprocess.run([os.path.join(TOP, "tests/ten_minutes/run"), "--here"], capture_output=True, text=True,
                            timeout=230, check=False)
    if result.returncode == NO_NAMESPACES:
        pytest.skip(result.stdout.strip())
    assert result.returncode == 0, result.stdout + result.stderr


# ---- alerts ---------------------------------------------------------------------------------------------------

# What an alert is tried with: its name, series by name with their values once a minute, when it is asked for, and
# labels that it has then; None: it does not fire.
FAILED = 'millrace_runs_ended_total{pipeline="a",end="pipeline_error"}'
COMPLETED = 'millrace_runs_ended_total{pipeline="a",end="completed"}'
LEFT = 'millrace_runs_cancelled_total{pipeline="a",cause="client_gone"}'
ALERTS = [
    ("MillraceDown", {'up{job="millrace",instance="1"}': "0x9", 'up{job="millrace",instance="2"}': "1x9"}, "5m", None),
    ("MillraceDown", {'up{job="millrace",instance="1"}': "0x9"}, "5m", {}),
    ("MillraceRunsFail", {FAILED: "0+10x20", COMPLETED: "0+90x20"}, "15m", {"pipeline": "a"}),
    ("MillraceRunsFail", {FAILED: "0+1x20", COMPLETED: "0+99x20", LEFT: "0+90x20"}, "15m", None),
    ("MillraceRefuses", {'millrace_refusals_total{pipeline="a",cause="queue_full"}': "0+1x20"}, "15m",
     {"pipeline": "a", "cause": "queue_full"}),
    ("MillraceRefuses", {'millrace_refusals_total{pipeline="a",cause="input"}': "0+1x20"}, "15m", None),
    ("MillracePipelineNotReady", {'millrace_pipeline_state{pipeline="a",state="quarantined"}': "1x9"}, "5m",
     {"pipeline": "a", "state": "quarantined"}),
    ("MillraceWorkersRestart", {'millrace_worker_restarts_total{pipeline="a",cause="crashed"}': "0+1x20"}, "15m",
     {"pipeline": "a", "cause": "crashed"}),
    ("MillraceWorkersRestart", {'millrace_worker_restarts_total{pipeline="a",cause="recycled_runs"}': "0+1x20"}, "15m",
     None),
    ("MillraceQueueWaits", {'millrace_run_wait_seconds_bucket{pipeline="a",le="5.0"}': "0+1x20",
                            'millrace_run_wait_seconds_bucket{pipeline="a",le="10.0"}': "0+2x20",
                            'millrace_run_wait_seconds_bucket{pipeline="a",le="+Inf"}': "0+2x20"}, "15m",
     {"pipeline": "a"}),
    ("MillraceOutputMemory", {"millrace_output_memory_bytes": "90x9", "millrace_output_memory_limit_bytes": "100x9"}, "5m",
     {}),
    ("MillraceLogDropped", {"millrace_log_lines_dropped_total": "0+5x20"}, "15m", {}),
]


def promtool(*arguments):
    result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def rules():
    with open(RULES, encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def test_each_alert_is_tried_and_asks_for_metrics_that_there_are(start):
    assert {name for name, *_ in ALERTS} == {rule["alert"] for rule in rules()}
    shown = start(example("words.so")).get("/metrics").body.decode()
    for rule in rules():
        for metric in re.findall(r"\bmillrace_\w+", rule["expr"]):
            assert f"\n{metric}" in shown, metric


@pytest.mark.parametrize("name,series,at,labels", ALERTS)
def test_an_alert_fires_when_it_should(name, series, at, labels, tmp_path):
    rule, = [rule for rule in rules() if rule["alert"] == name]
    annotations = {key: re.sub(r"{{ \$labels\.(\w+) }}", lambda match: (labels or {}).get(match[1], ""), text)
                   for key, text in rule["annotations"].items()}
    expected = [] if labels is None else [{"exp_labels": labels, "exp_annotations": annotations}]
    (tmp_path / "test.yml").write_text(yaml.safe_dump({
        "rule_files": [RULES], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": [{"series": key, "values": value} for key, value in series.items()],
                   "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": expected}]}]}))
    promtool("test", "rules", tmp_path / "test.yml")
