# SPDX-License-Identifier: MIT
"""Aliases: one pointer for a pipeline or for several, and shares by weight."""

import collections
import itertools
import threading

import pytest

import wire
from test_reload import EDITION, OTHER, THIRD, File

PROD = "test/edition:prod"
RUNS = 10_000


class Aliased(File):
    """A configuration file with aliases, whose pipelines tell themselves apart: 1, 2 and 3."""

    def __init__(self, folder):
        super().__init__(folder)
        self.aliases = {}
        for edition, pointer, name in ((1, EDITION, "edition.so"), (2, OTHER, "other.so"), (3, THIRD, "third.so")):
            self.publish(edition, name=name)
            if edition < 3:
                self.say(pointer, source=f"{name}:edition", concurrency=8)

    def write(self):
        super().write()
        with open(self.path, "a", encoding="ascii") as file:
            print("aliases:", *(f"  {pointer}: {where}" for pointer, where in self.aliases.items()), sep="\n", file=file)


@pytest.fixture
def file(tmp_path):
    return Aliased(tmp_path)


@pytest.fixture
def begin(start, file):
    def begun(**aliases):
        file.aliases.update({f"test/edition:{tag}": where for tag, where in aliases.items()})
        file.write()
        server = start(options=["--config", str(file.path)])
        server.said = file
        return server

    return begun


def edition(server, pointer, headers=None):
    """Who answered: the value, and the pipeline that the head names."""
    with server.stream(pointer, 1, 0, headers=headers) as stream:
        [line] = stream.all()
        return wire.output_of(line), stream.response.header("X-Millrace-Pipeline")


def results(server, count, pointer, headers=None):
    """The values of so many plain runs, on a few connections that each have several requests under way."""
    body = wire.run_body(pointer, [1, 0])
    found, left = collections.Counter(), iter(range(count))
    lock = threading.Lock()

    def ask():
        with server.connect() as connection:
            while True:
                with lock:
                    batch = list(itertools.islice(left, 50))
                fields = [{**(headers(number) if headers else {})} for number in batch]
                for more in fields:
                    connection.request("POST", "/v4/runs", body, more)
                for _ in batch:
                    response = connection.response()
                    assert response.status == 200, response
                    [value] = wire.output_of(response.json())
                    found[value, response.header("X-Millrace-Pipeline")] += 1
                if not batch:
                    return

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(found.values()) == count
    return found


# ---- what clients see ------------------------------------------------------------------------------


def test_an_alias_is_answered_by_its_pipeline_which_the_answer_names(begin):
    server = begin(prod=OTHER)
    described = server.pipeline(OTHER)
    mark = server.log_mark()
    assert edition(server, PROD) == (2, OTHER)
    assert edition(server, OTHER) == (2, None)  # asked for by itself
    assert edition(server, described["id"]) == (2, None)
    line = server.wait_log(rf" run_end run=\S+ pipeline={OTHER} alias=(\S+) worker=", mark)
    assert line[1] == PROD
    assert len([line for line in server.log_since(mark, " run_end ") if " alias=" in line]) == 1
    plain = server.run(PROD, 1, 0)
    assert plain.json()["pipeline_id"] == described["id"] and plain.header("X-Millrace-Pipeline") == OTHER
    failed = server.run(PROD, "x")
    assert (failed.status, failed.json()["error"]["type"]) == (400, "input_error")
    assert failed.header("X-Millrace-Pipeline") == OTHER
    async_run = server.run(PROD, 1, 0, async_run=True)
    assert async_run.header("X-Millrace-Pipeline") == OTHER
    with wire.Stream(server.connect(), wire.run_body(PROD, [2, 0]), {"Accept": "text/event-stream"}) as stream:
        assert stream.begin().header("X-Millrace-Pipeline") == OTHER
    assert server.metric(f'millrace_alias_runs_total{{alias="{PROD}",pipeline="{OTHER}"}}') == 5


def test_pipelines_are_listed_with_their_aliases(begin):
    server = begin(prod=f"{{{EDITION}: 10, {OTHER}: 90}}", user=f"{{to: {EDITION}, sticky: header X-User}}")
    listed = server.get("/v4/pipelines").json()
    assert [pipeline["pointer"] for pipeline in listed["data"]] == [EDITION, OTHER] and listed["total"] == 2
    ids = {pointer: server.pipeline(pointer)["id"] for pointer in (EDITION, OTHER)}
    prod, user = listed["aliases"]
    assert prod == {"pointer": PROD, "sticky": None, "targets": [
        {"pointer": EDITION, "id": ids[EDITION], "weight": 10, "runs": 0},
        {"pointer": OTHER, "id": ids[OTHER], "weight": 90, "runs": 0}]}
    assert user["sticky"] == "header x-user"
    shown = server.pipeline(PROD)  # as the one that has most of its runs
    assert shown.pop("alias") == prod and shown == server.pipeline(OTHER)
    assert "alias" not in server.pipeline(OTHER)
    missing = server.run("test/edition:prd", 1, 0)
    assert missing.status == 404
    assert missing.json()["detail"] == {"message": "Pipeline not found", "pipelines": [EDITION, OTHER], "total": 2,
                                        "aliases": [PROD, "test/edition:user"]}


def test_an_only_pipeline_needs_no_name_whatever_aliases_it_has(begin, file):
    del file.pipelines[OTHER]
    server = begin(prod=EDITION)
    assert edition(server, ...) == (1, None)


# ---- shares ----------------------------------------------------------------------------------------


def test_a_canary_gets_its_share_of_many_runs(begin):
    server = begin(prod=f"{{{EDITION}: 90, {OTHER}: 10}}")
    found = results(server, RUNS, PROD)
    assert set(found) == {(1, EDITION), (2, OTHER)}
    assert abs(found[2, OTHER] / RUNS - 0.10) < 0.01
    assert found[2, OTHER] == RUNS // 10  # turns are no chance
    for pointer, (value, _) in ((EDITION, (1, 0)), (OTHER, (2, 0))):
        assert server.metric(f'millrace_alias_runs_total{{alias="{PROD}",pipeline="{pointer}"}}') == found[value, pointer]
    print(f"\n  of {RUNS} runs {found[1, EDITION]} went to one and {found[2, OTHER]} to the other")


def test_places_of_keys_are_those_of_every_server(begin, start, file):
    server = begin(prod=f"{{to: {{{EDITION}: 1, {OTHER}: 1}}, sticky: header X-User}}")
    other = start(options=["--config", str(file.path)])
    for number in range(50):
        user = {"X-User": str(number)}
        assert edition(server, PROD, user) == edition(other, PROD, user)
