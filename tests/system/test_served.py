# SPDX-License-Identifier: MIT
"""What a server serves is seen: when it is ready, and by clients who ask for something else."""

import re
import subprocess

import wire
from server import MILLRACE, bearer, example, make_tokens

NUMBERS = example("numbers.so")
ECHO = example("echo.so")


# ---- the ready line --------------------------------------------------------------------------------

def test_the_ready_line_and_the_log_name_what_is_served_and_what_failed(start, pipelines):
    server = start(f"me/n:v1={NUMBERS}", f"me/e:v1={ECHO}", f"test/broken:v1={pipelines('startup')}:broken",
                   options=["--workers", "2"])
    head = f"millrace: ready on http://{server.address} (3 pipelines, 6 workers)"
    assert server.ready_line == (f"{head}; serves me/n:v1 (2 workers), me/e:v1 (2 workers); 1 of the pipelines failed: "
                                 "test/broken:v1 (startup hook 1: no model in /nowhere); see the log\n")
    server.wait_log(r" info pipeline_served pipeline=me/n:v1 workers=2$")
    server.wait_log(r" info pipeline_served pipeline=me/e:v1 workers=2$")
    server.wait_log(r' error pipeline_not_served pipeline=test/broken:v1 state=failed text="startup hook 1: no model in /nowhere"$')


def test_the_ready_line_names_ten_and_counts_the_others(start):
    server = start(*[f"me/n{i}:v1={NUMBERS}" for i in range(12)])
    assert server.ready_line.endswith(" me/n9:v1 (1 worker) and 2 more\n")
    server.wait_log(r" pipeline_served pipeline=me/n11:v1 ")
    assert len(server.log_since(0, " pipeline_served ")) == 12


def test_a_reason_in_the_ready_line_is_one_short_line(start, tmp_path):
    source = tmp_path / "long.py"
    source.write_text("raise RuntimeError('\\x1b[2J' + 'é' * 400)\n", encoding="utf-8")
    twoline = tmp_path / "two.py"
    twoline.write_text("class Two(Exception):\n    def __repr__(self): return 'first\\nsecond'\nraise Two\n", encoding="utf-8")
    server = start(NUMBERS, f"me/long:v1={source}:x", f"me/two:v1={twoline}:x")
    assert "me/two:v1 (first)" in server.ready_line
    reason = server.ready_line.split("me/long:v1 (")[1].split("), me/two")[0]
    assert reason.startswith("RuntimeError(") and "\x1b" not in reason
    assert reason.endswith("éé") and len(reason.encode()) < 200


# ---- asking for something else ---------------------------------------------------------------------

def asked_for(server, name, headers=None):
    """What is said of a pipeline that is not there, which both kinds of route say alike."""
    answers = [server.ask("POST", path, wire.run_body(name, []), headers) for path in ("/v4/runs", "/v4/runs/stream")]
    answers.append(server.get("/v4/pipelines/" + name, headers))
    assert [answer.status for answer in answers] == [404] * 3
    assert answers[0].body == answers[1].body == answers[2].body
    return answers[0].json()["detail"]


def test_a_404_names_what_there_is_nearest_first(start):
    server = start(f"me/alpha:v1={NUMBERS}", f"me/beta:v1={NUMBERS}", f"local/beta:v2={ECHO}")
    names = ["me/beta:v1", "local/beta:v2", "me/alpha:v1"]
    assert asked_for(server, "me/bet:v1") == {"message": "Pipeline not found", "pipelines": [
        "me/beta:v1", "me/alpha:v1", "local/beta:v2"], "total": 3}
    assert asked_for(server, "local/beta:v1")["pipelines"] == [names[1], names[0], names[2]]


def test_a_404_names_ten_and_counts_all(start):
    server = start(*[f"me/n{i}:v1={NUMBERS}" for i in range(12)])
    detail = asked_for(server, "me/n11:v2")
    assert (detail["pipelines"][0], len(detail["pipelines"]), detail["total"]) == ("me/n11:v1", 10, 12)
    result = subprocess.run([MILLRACE, "run", "me/n11:v2", "--url", server.url], capture_output=True, text=True,
                            check=False, timeout=30)
    assert result.stderr.startswith("millrace: run: the server answered with status 404: Pipeline not found; this server "
                                    "has me/n11:v1, ")
    assert result.stderr.endswith(" and 2 more\n")


def test_who_has_no_token_is_told_nothing_of_what_there_is(start, tmp_path):
    token, = make_tokens(tmp_path / "tokens", "alice")
    server = start(f"me/secret:v1={NUMBERS}", options=["--token-file", str(tmp_path / "tokens")])
    for path in ("/v4/runs", "/v4/runs/stream"):
        answer = server.ask("POST", path, wire.run_body("me/other:v1", []))
        assert answer.status == 401 and b"secret" not in answer.body
    assert b"secret" not in server.get("/v4/pipelines/me/other:v1").body
    assert asked_for(server, "me/other:v1", bearer(token))["pipelines"] == ["me/secret:v1"]


# ---- numbers ---------------------------------------------------------------------------------------

def test_inputs_and_chunks_are_counted_from_one_by_all_who_name_them(start):
    server = start(NUMBERS, example("misbehave.so"))
    numbers = "local/numbers:v1"
    shown = subprocess.run([MILLRACE, "check", NUMBERS], capture_output=True, text=True, check=True, timeout=30).stdout
    title = server.pipeline(numbers)["input_variables"][0]["title"]
    assert any(re.match(f"  input 1 .* {title}( |$)", line) for line in shown.splitlines())
    told = subprocess.run([MILLRACE, "run", numbers, "two", "x", "0", "--url", server.url], capture_output=True, text=True,
                          check=False, timeout=30).stderr
    assert told.startswith("millrace: run: input 1: ")
    assert server.run(numbers, "two", "x", 0).json()["error"]["message"].startswith(f'input 1 ("{title}") must be ')
    assert server.lines("local/misbehave:v1", "invalid_utf8", 0, 0)[-1]["error"]["message"].startswith("chunk 1 cannot be sent: text ")
