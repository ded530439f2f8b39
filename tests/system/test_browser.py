# SPDX-License-Identifier: MIT
"""A page of another origin, in a real browser, calls the server where --cors-origin names it."""

import json
import os
import re

import pytest

import browser
from server import TOP, example, make_tokens

NUMBERS = "local/numbers:v1"

# What pages need to read a stream: fetch, and lines as they come. EventSource can neither POST nor send a token.
READ = """
async function lines_of(response) {
  const lines = [], times = [];
  const reader = response.body.pipeThrough(new TextDecoderStream()).getReader();
  let rest = "";
  for (let step; !(step = await reader.read()).done;) {
    const parts = (rest + step.value).split("\\n");
    rest = parts.pop();
    for (const line of parts.filter((part) => part)) {
      lines.push(line);
      times.push(performance.now());
    }
  }
  return {lines, times};
}
function ask(path, options = {}) {
  return fetch(SERVER + path, {...options, headers: {...HEADERS, ...options.headers}});
}
function run(path, inputs, options = {}) {
  const types = {number: "integer", string: "string"};
  const items = inputs.map((value) => ({type: types[typeof value], value}));
  const body = JSON.stringify({pipeline: POINTER, inputs: items, stream_options: {final_line: true}});
  return ask(path, {method: "POST", body, ...options});
}
"""


def script(server, token, text):
    headers = {"Content-Type": "application/json", **({"Authorization": f"Bearer {token}"} if token else {})}
    return (f"const SERVER = {json.dumps(server.url)}, POINTER = {json.dumps(NUMBERS)}, "
            f"HEADERS = {json.dumps(headers)};\n{READ}\n{text}")


@pytest.fixture
def pages():
    with browser.pages() as server:
        yield server


@pytest.mark.bounded(90)
def test_a_page_of_another_port_reads_a_stream_with_its_token_as_it_comes(start, tmp_path, pages):
    [token] = make_tokens(tmp_path / "tokens", "page")
    server = start(example("numbers.so"), options=["--token-file", str(tmp_path / "tokens"), "--cors-origin", pages.origin])
    report = browser.report_of(pages, tmp_path, script(server, token, """
      const stream = await run("/v4/runs/stream", [6, "x", 150]);
      const {lines, times} = await lines_of(stream);
      const events = await run("/v4/runs/stream", [2, "x", 0], {headers: {Accept: "text/event-stream"}});
      const named = await ask("/v4/tokens/validate", {headers: {"X-Request-Id": "page-7", "X-Request-Timeout": "5"}});
      const nobody = await ask("/v4/pipelines", {headers: {Authorization: "Bearer wrong"}});
      const nothing = await ask("/v4/runs/run_0", {method: "DELETE"});
      const broken = await run("/v4/runs", ["x"]);
      return {lines, times, status: stream.status, id: stream.headers.get("X-Request-Id"),
              events: (await lines_of(events)).lines, named: [named.status, named.headers.get("X-Request-Id")],
              nobody: [nobody.status, await nobody.json(), nobody.headers.get("WWW-Authenticate")],
              nothing: [nothing.status, await nothing.json()],
              broken: [broken.status, (await broken.json()).error.type]};
    """))
    assert report["status"] == 200 and len(report["id"]) == 32
    *lines, last = map(json.loads, report["lines"])
    assert [line["outputs"][0]["value"]["i"] for line in lines] == list(range(6))
    assert (last["state"], last["outputs"]) == ("completed", None)
    # One every 150 ms, and not all of them at the end.
    gaps = [after - before for before, after in zip(report["times"], report["times"][1:6])]
    assert all(gap > 50 for gap in gaps), gaps
    assert report["events"][-1] == "data: [DONE]" and report["events"][0].startswith('data: {"id":"run_')
    assert report["named"] == [200, "page-7"]
    assert report["nobody"] == [401, {"detail": {"message": "Not authenticated."}}, "Bearer"]
    assert report["nothing"] == [404, {"detail": {"message": "Run not found"}}]
    assert report["broken"] == [400, "input_error"]
    assert server.metric('millrace_refusals_total{cause="forbidden"}') == 0


@pytest.mark.bounded(90)
def test_the_lines_of_the_documentation_show_a_stream_as_it_comes(start, tmp_path, pages):
    with open(os.path.join(TOP, "docs/operations.md"), encoding="utf-8") as file:
        [text] = re.findall(r"^```js\n(.*?)^```$", file.read(), flags=re.MULTILINE | re.DOTALL)
    [token] = make_tokens(tmp_path / "tokens", "page")
    server = start(f"me/words:v1={example('words.so')}",
                   options=["--token-file", str(tmp_path / "tokens"), "--cors-origin", pages.origin])
    assert "https://box.example/v4/" in text
    report = browser.report_of(pages, tmp_path, f"""
      const token = {json.dumps(token)}, shown = [];
      const show = (text) => shown.push([performance.now(), text]);
      {text.replace("https://box.example", server.url)}
      return {{shown}};
    """)
    times, pieces = zip(*report["shown"])
    assert [json.loads(line)["outputs"][0]["value"] for line in "".join(pieces).splitlines()] == ["hello ", "there "]
    assert times[-1] - times[0] > 50


@pytest.mark.bounded(90)
def test_without_tokens_one_page_calls_and_another_one_does_not(start, tmp_path, pages):
    text = """
      const response = await run("/v4/runs", [3, "x", 0]).catch((error) => null);
      return {status: response && response.status, result: response && await response.json()};
    """
    named = start(example("numbers.so"), options=["--cors-origin", pages.origin])
    report = browser.report_of(pages, tmp_path, script(named, None, text))
    assert report["status"] == 200
    assert [value["i"] for value in report["result"]["outputs"][0]["value"]] == [0, 1, 2]
    other = start(example("numbers.so"), options=["--cors-origin", "https://app.example"])
    assert browser.report_of(pages, tmp_path, script(other, None, text))["status"] is None
    assert other.metric('millrace_refusals_total{cause="forbidden"}') == 1
    assert other.metric(f'millrace_runs_accepted_total{{pipeline="{NUMBERS}"}}') == 0


@pytest.mark.bounded(90)
def test_all_pages_may_be_meant_and_none_is_by_itself(start, tmp_path, pages):
    [token] = make_tokens(tmp_path / "tokens", "page")
    options = ["--token-file", str(tmp_path / "tokens")]
    text = """
      const response = await run("/v4/runs", [1, "x", 0]).catch((error) => null);
      const included = await ask("/v4/pipelines", {credentials: "include"}).catch((error) => null);
      return {status: response && response.status, included: included && included.status};
    """
    some = start(example("numbers.so"), options=[*options, "--cors-origin", "*"])
    # Cookies are never allowed, so a page that wants to send some is told nothing.
    assert browser.report_of(pages, tmp_path, script(some, token, text)) == {"status": 200, "included": None}
    none = start(example("numbers.so"), options=options)
    assert browser.report_of(pages, tmp_path, script(none, token, text)) == {"status": None, "included": None}
