# SPDX-License-Identifier: MIT
"""Aliases: one pointer for a pipeline or for several, shares by weight, who stays, and moves that lose no run."""

import collections
import itertools
import json
import re
import signal
import threading

import pytest

import wire
from server import IS_SANITIZED, SLOWNESS, bearer, example, make_tokens, wait_until
from test_cli import OK, millrace
from test_reload import EDITION, OTHER, THIRD, File, Streams, counts, end_of, pids, reload, resident_kib

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


def expect(server, aliases=0, **given):
    """What the file says now is served, and these are the counts."""
    server.said.write()
    found = reload(server)
    assert found, "it was refused"
    assert {key: found[key] for key in (*counts(), "aliases")} == {**counts(**given), "aliases": aliases}, \
        "\n".join(server.log[-20:])


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
    assert server.wait_log(rf' alias_served alias={PROD} to="(.*)"$')[1] == f"{OTHER} 1"
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


def test_a_weight_of_zero_gets_no_runs(begin, file):
    server = begin(prod=f"{{{EDITION}: 1, {OTHER}: 0}}")
    assert set(results(server, 100, PROD)) == {(1, EDITION)}
    file.aliases[PROD] = f"{{{EDITION}: 0, {OTHER}: 1}}"
    expect(server, kept=2, aliases=1)
    assert set(results(server, 100, PROD)) == {(2, OTHER)}


def test_who_has_a_header_stays_and_who_has_none_takes_turns(begin, file):
    both = f"{{{EDITION}: 80, {OTHER}: 20}}"
    server = begin(prod=f"{{to: {both}, sticky: header X-User}}", turn=both)
    users = [{"X-User": f"user-{number}"} for number in range(200)]

    def places():
        return [edition(server, PROD, headers)[0] for headers in users]

    first = places()
    assert places() == first == [edition(server, PROD, {"x-user": user["X-User"]})[0] for user in users]
    assert 20 < first.count(2) < 60  # 40, and four times what chance would do
    assert results(server, 100, PROD) == {(1, EDITION): 80, (2, OTHER): 20}  # nobody says who it is
    assert results(server, 100, PROD, lambda _: {"X-User": ""}) == {(1, EDITION): 80, (2, OTHER): 20}
    assert len(results(server, 100, PROD, lambda _: users[0])) == 1
    assert results(server, 100, "test/edition:turn", lambda _: users[0]) == {(1, EDITION): 80, (2, OTHER): 20}
    file.aliases[PROD] = f"{{to: {{{EDITION}: 80, {OTHER}: 80}}, sticky: header X-User}}"
    expect(server, kept=2, aliases=1)
    moved = [(before, after) for before, after in zip(first, places()) if before != after]
    assert set(moved) == {(1, 2)} and 30 < len(moved) < 90  # 60: to the one that has more now, and nobody else


def test_who_has_a_token_stays(begin, file):
    tokens = make_tokens(file.folder / "tokens", *(f"caller{number}" for number in range(40)))
    file.top["token-file"] = "tokens"
    server = begin(prod=f"{{to: {{{EDITION}: 1, {OTHER}: 1}}, sticky: token}}")
    first = [edition(server, PROD, bearer(token))[0] for token in tokens]
    assert [edition(server, PROD, bearer(token))[0] for token in tokens] == first
    assert 5 < first.count(1) < 35
    expect(server, kept=2)
    assert [edition(server, PROD, bearer(token))[0] for token in tokens] == first


def test_places_of_keys_are_those_of_every_server(begin, start, file):
    server = begin(prod=f"{{to: {{{EDITION}: 1, {OTHER}: 1}}, sticky: header X-User}}")
    other = start(options=["--config", str(file.path)])
    for number in range(50):
        user = {"X-User": str(number)}
        assert edition(server, PROD, user) == edition(other, PROD, user)


# ---- moves -----------------------------------------------------------------------------------------


def test_an_alias_moves_under_load_and_no_run_fails(begin, file):
    server = begin(prod=EDITION)
    before = {pointer: pids(server, pointer) for pointer in (EDITION, OTHER)}
    with Streams(server, PROD, PROD, PROD, PROD, pause_ms=2) as streams:
        for number in range(20):
            file.aliases[PROD] = [f"{{{EDITION}: 50, {OTHER}: 50}}", OTHER, EDITION][number % 3]
            expect(server, kept=2, aliases=1)
            count = len(streams.editions)
            wait_until(lambda: len(streams.editions) > count + 5)
    assert streams.failures == []
    assert {value for _, value in streams.editions} == {1, 2}
    assert {pointer: pids(server, pointer) for pointer in before} == before
    file.aliases[PROD] = EDITION
    expect(server, kept=2, aliases=1)
    assert edition(server, PROD)[0] == 1


def test_the_old_pipeline_goes_when_its_alias_has_moved_and_no_run_fails(begin, file):
    """Blue and green: each reload brings a pipeline, leads the alias there, and removes the one before."""
    server = begin(prod=EDITION)
    slots = [(EDITION, "edition.so", 1), (THIRD, "third.so", 3)]
    with Streams(server, *[PROD] * 12, pause_ms=2) as streams:  # more than a worker has slots: some always wait
        for number in range(1, 9):
            (old, _, _), (new, source, value) = slots[1 - number % 2], slots[number % 2]
            del file.pipelines[old]
            file.say(new, source=f"{source}:edition", concurrency=8)
            file.aliases[PROD] = new
            expect(server, added=1, removed=1, kept=1, aliases=1)
            assert edition(server, PROD) == (value, new)
            assert server.run(old, 1, 0).status == 404
    assert streams.failures == []
    assert {value for _, value in streams.editions} == {1, 3}


def test_a_large_body_is_for_the_pipeline_that_its_alias_led_to(begin, file):
    """The reader packs the inputs when their pipeline is known, and that is what takes it long here."""
    slots = ["test/one:v1", "test/two:v1"]
    file.say(slots[0], source=example("echo.so"), concurrency=8)
    server = begin(prod=slots[0])
    large = wire.run_body(PROD, [{"values": [0.1] * 200_000}])
    failures, ends = [], threading.Event()
    seen = collections.Counter()

    def ask():
        with server.connect() as connection:
            while not ends.is_set():
                connection.request("POST", "/v4/runs", large)
                response = connection.response()
                if response.status == 200:
                    seen[response.header("X-Millrace-Pipeline")] += 1
                else:
                    failures.append(response)

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for number in range(10):
        old, new = slots[number % 2], slots[1 - number % 2]
        del file.pipelines[old]
        file.say(new, source=example("echo.so"), concurrency=8)
        file.aliases[PROD] = new
        before = seen[new]
        expect(server, added=1, removed=1, kept=2, aliases=1)
        wait_until(lambda: failures or seen[new] > before)
    ends.set()
    for thread in threads:
        thread.join()
    assert failures == []


def test_who_asks_for_a_reload_is_told_which_aliases_are_other_ones(begin, file):
    control = file.folder / "control"
    file.top["control"] = control.name
    server = begin(prod=EDITION, kept=EDITION, gone=EDITION)
    file.aliases.update({PROD: OTHER, "test/edition:new": OTHER})
    del file.aliases["test/edition:gone"]
    file.write()
    moved = [PROD, "test/edition:new", "test/edition:gone"]
    for words in (["check", "--config", str(file.path), "--against"], ["reload"]):
        result = millrace(*words, "--control", str(control))
        assert result.returncode == OK, result
        assert re.findall(r"^alias +(.*)$", result.stdout, re.MULTILINE) == moved
    assert json.loads(millrace("reload", "--control", str(control), "--json").stdout)["aliases"] == []
    assert edition(server, PROD) == (2, OTHER)


def test_memory_is_flat_over_many_moves(begin, file):
    server = begin(prod=EDITION)
    sizes = []
    with Streams(server, PROD, PROD) as streams:
        for number in range(120):
            file.aliases = {PROD: f"{{{EDITION}: {number % 7}, {OTHER}: 3}}", f"test/edition:x{number}": OTHER}
            expect(server, kept=2, aliases=2 + (number > 0))
            sizes.append(resident_kib(server))
    assert streams.failures == []
    if not IS_SANITIZED:  # freed memory is kept for a while there
        assert min(sizes[-30:]) - min(sizes[30:60]) < 1024, sizes
    assert len(server.get("/v4/pipelines").json()["aliases"]) == 2


# ---- what does not start ---------------------------------------------------------------------------


@pytest.mark.parametrize("options", [["-DBROKEN"], ["-DHANGING"]], ids=["broken", "hanging"])
def test_an_alias_stays_with_its_old_pipeline_where_the_new_one_does_not_start(begin, file, options):
    server = begin(prod=EDITION)
    file.publish(3, *options, name="third.so")
    with Streams(server, PROD, PROD) as streams:
        del file.pipelines[EDITION]
        file.say(THIRD, source="third.so:edition", start_timeout="1s")
        file.aliases[PROD] = f"{{{THIRD}: 50, {OTHER}: 50}}"
        mark = server.log_mark()
        expect(server, kept=1, failed=3)
        assert server.wait_log(rf" reload_failed alias={PROD} reason=(.*)", mark)[1] == \
            f'"{THIRD} is not served as it is said now: the alias stays as it was"'
        assert server.wait_log(rf" reload_failed pipeline={EDITION} reason=(.*)", mark)[1] == \
            f'"it is not removed: alias {PROD} still leads to it"'
        assert edition(server, PROD) == (1, EDITION)
        file.publish(3, name="third.so")
        expect(server, added=1, removed=1, kept=1, aliases=1)
    assert streams.failures == []
    assert {edition(server, PROD) for _ in range(2)} == {(2, OTHER), (3, THIRD)}
    assert server.run(EDITION, 1, 0).status == 404


def test_an_alias_does_not_wait_for_pipelines_that_are_none_of_its_business(begin, file):
    server = begin(prod=EDITION)
    file.publish(3, "-DHANGING", name="third.so")
    file.say(THIRD, source="third.so:edition", start_timeout=f"{5 * SLOWNESS}s")
    file.aliases[PROD] = OTHER
    file.write()
    mark = server.log_mark()
    server.signal(signal.SIGHUP)
    assert server.wait_log(rf' alias_served alias={PROD} to="(.*)"', mark)[1] == f"{OTHER} 1"
    assert edition(server, PROD) == (2, OTHER)
    assert server.log_since(mark, " reload_end ") == []
    assert end_of(server, mark)["failed"] == 1


def test_a_wrong_alias_changes_nothing(begin, file):
    server = begin(prod=EDITION)
    file.aliases[PROD] = "test/edition:v2"
    file.write()
    mark = server.log_mark()
    assert reload(server) is None
    [line] = server.log_since(mark, "reload_failed")
    assert re.search(rf"millrace\.yaml:\d+:\d+: aliases\.{PROD}: unknown alias target .*test/edition:v2.* "
                     rf"\(nearest: {EDITION}\)", line), line
    assert edition(server, PROD) == (1, EDITION)


def test_an_alias_goes_and_comes_back(begin, file):
    server = begin(prod=EDITION)
    with server.stream(PROD, 20, 20) as running:
        running.begin()
        del file.aliases[PROD]
        mark = server.log_mark()
        expect(server, kept=2, aliases=1)
        server.wait_log(rf" alias_removed alias={PROD}$", mark)
        assert server.run(PROD, 1, 0).status == 404
        assert len(running.all()) == 20
    server.wait_log(rf" run_end run=\S+ pipeline={EDITION} alias={PROD} ", mark)
    file.aliases[PROD] = OTHER
    expect(server, kept=2, aliases=1)
    assert edition(server, PROD) == (2, OTHER)
