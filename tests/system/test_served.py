# SPDX-License-Identifier: MIT
"""What a server serves is seen: when it is ready, and by clients who ask for something else."""

from server import example

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
