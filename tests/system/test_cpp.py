# SPDX-License-Identifier: MIT
"""Pipelines in C++: what becomes of exceptions."""

import re

THROWS = "local/throws:v1"
OWN_FRAME = r"in throws\.so\+0x[0-9a-f]+"


# ---- nobody catches them ---------------------------------------------------------------------------

def test_an_exception_that_nobody_catches_is_told_with_the_place_in_the_pipeline(start, pipelines):
    server = start(pipelines("throws"), options=["--quarantine-after", "0"])
    for number, why in ((1, 'std::runtime_error: thirteen\x1b[2J "and" more'), (2, "int"),
                        (3, "std::runtime_error: " + "x" * 200)):
        mark = server.log_mark()
        error = server.lines(THROWS, number)[-1]["error"]
        assert error["type"] == "pipeline_error"
        head, said = error["message"].split(": uncaught ")
        assert re.fullmatch(rf"the worker process was killed by signal 6 \(SIGABRT\)(, core dumped)? {OWN_FRAME}.*", head)
        assert said.startswith(why) and len(said) < 300
        server.wait_log(r" worker_crash .* signal=6 .*text=\"uncaught " + re.escape(why.split(":")[0]), mark)
    assert server.run(THROWS, 4).json()["outputs"][0]["value"] == 1


def test_what_was_printed_before_an_abort_is_no_exception(start, pipelines):
    server = start(pipelines("throws"), options=["--quarantine-after", "0"])
    message = server.lines(THROWS, 5)[-1]["error"]["message"]
    assert "SIGABRT" in message and "uncaught" not in message


def test_a_fault_inside_a_library_names_who_called_it(start, pipelines):
    server = start(pipelines("throws"))
    message = server.lines(THROWS, 6)[-1]["error"]["message"]
    assert re.search(r"signal 11 \(SIGSEGV\).* at address 0x\w+ in \S*libc\S* ?\S* from throws\.so\+0x[0-9a-f]+", message)
