# SPDX-License-Identifier: MIT
"""Whose a file is that was uploaded, and how long it is kept: over restarts, until it is removed or makes room."""

import hmac
import os
import time
import urllib.parse

import pytest

from server import bearer, make_tokens, wait_until
from test_files import FORM, NUMBERS, PATH, TEXT, download, folder, folder_of, form, names_of, raw, server, upload


def test_files_are_listed_shown_and_removed(server, folder):
    first, second = upload(server, b"1", "one"), upload(server, b"2", "two")
    assert server.get(PATH).json() == {"data": [second, first], "total": 2, "limit": 100}
    assert server.get(PATH + "?limit=1").json()["data"] == [second]
    assert server.get(PATH + "?limit=x").status == 400
    assert server.get(f"{PATH}/{first['id']}").json() == first
    response = server.ask("DELETE", f"{PATH}/{first['id']}")
    assert (response.status, response.body, response.header("Content-Length")) == (204, b"", None)
    wait_until(lambda: folder_of(folder) == names_of(second))
    for method, path in (("GET", PATH), ("DELETE", PATH), ("GET", PATH + "/download")):
        assert server.ask(method, f"{path}/{first['id']}").status == 404
        assert server.ask(method, f"{path}/..%2f..%2fetc%2fpasswd").status == 404
    assert server.ask("PUT", PATH, b"x").status == 405


def test_what_one_token_uploaded_another_cannot_see(start, folder, tmp_path):
    alice, bob = make_tokens(tmp_path / "tokens", "alice", "bob")
    options = ["--files", str(folder), "--token-file", str(tmp_path / "tokens")]
    server = start(NUMBERS, options=options)
    assert server.ask("POST", PATH, b"x", raw()).status == 401
    file = upload(server, b"hers", headers=bearer(alice))
    for method, path in (("GET", PATH), ("DELETE", PATH), ("GET", PATH + "/download")):
        assert server.ask(method, f"{path}/{file['id']}", headers=bearer(bob)).status == 404
        assert server.ask(method, f"{path}/{file['id']}").status == 401
    assert server.get(PATH, bearer(bob)).json()["data"] == []
    assert server.get(PATH, bearer(alice)).json()["data"] == [file]
    assert download(server, file, bearer(alice)).body == b"hers"
    server.stop()
    server = start(NUMBERS, options=options)
    assert server.get(PATH, bearer(bob)).json()["data"] == []
    assert download(server, file, bearer(alice)).body == b"hers"
    server.stop()
    server = start(NUMBERS, options=[*options, "--tokens-share"])
    assert download(server, file, bearer(bob)).body == b"hers"


def test_a_url_of_a_file_needs_no_token_and_is_for_that_file_alone(start, folder, tmp_path):
    alice, bob = make_tokens(tmp_path / "tokens", "alice", "bob")
    options = ["--files", str(folder), "--token-file", str(tmp_path / "tokens")]
    server = start(NUMBERS, options=options)
    file, other = (upload(server, data, headers=bearer(alice)) for data in (TEXT, b"other"))
    url = urllib.parse.urlsplit(file["url"])
    path = f"{url.path}?{url.query}"
    said = urllib.parse.parse_qs(url.query)
    assert 86400 <= int(said["expires"][0]) - time.time() <= 90000
    for headers in (None, bearer(bob), bearer("mr_nonsense")):
        assert server.get(path, headers).body == TEXT
        assert server.get(path, {**(headers or {}), "Range": "bytes=5-9"}).body == TEXT[5:10]
        assert server.ask("HEAD", path, headers=headers).header("Content-Length") == str(len(TEXT))
    for forged in (path[:-1] + ("0" if path[-1] != "0" else "1"), path.replace(file["id"], other["id"]),
                   path.replace("expires=", "expires=1"), path.replace("expires=", "expires=-"), path + "0",
                   f"{url.path}?signature={said['signature'][0]}"):
        response = server.get(forged)
        assert response.status == 403 and "signature" in response.json()["detail"], forged
        assert server.get(forged, bearer(alice)).status == 200, forged
        assert server.get(forged, bearer(bob)).status == 404, forged
    for elsewhere in (f"{PATH}/{file['id']}", PATH):
        assert server.get(f"{elsewhere}?{url.query}").status == 401
    assert server.ask("DELETE", f"{PATH}/{file['id']}?{url.query}").status == 401
    server.ask("DELETE", f"{PATH}/{file['id']}", headers=bearer(alice))
    assert server.get(path).status == 404
    server.stop()
    server = start(NUMBERS, options=options)
    url = urllib.parse.urlsplit(other["url"])
    assert server.get(f"{url.path}?{url.query}").body == b"other"
    secret = (folder / "secret").read_bytes()
    past = int(time.time()) - 1
    claim = f"download\n{other['id']}\n0\n{past}".encode()
    signature = hmac.new(secret, claim, "sha256").hexdigest()
    response = server.get(f"{url.path}?expires={past}&signature={signature}")
    assert response.status == 403 and "time" in response.json()["detail"]


def test_a_restart_keeps_whole_files_and_drops_half_ones(start, folder):
    options = ["--files", str(folder)]
    server = start(NUMBERS, options=options)
    kept, cut, unsaid, torn = (upload(server, TEXT, f"{i}.bin") for i in range(4))
    server.stop()
    stored = folder / "stored"
    os.truncate(stored / cut["id"], 5)
    os.unlink(stored / (unsaid["id"] + ".about"))
    (stored / (torn["id"] + ".about")).write_text("millrace-file 1\nowner \nname x\n")
    (stored / ("part_" + "0" * 32)).write_bytes(b"half")
    (stored / ("file_" + "0" * 32 + ".about")).write_text("of nothing")
    (stored / "notes.txt").write_text("somebody's own")
    (folder / "runs" / "left").mkdir()
    server = start(NUMBERS, options=options)
    assert server.get(PATH).json()["data"] == [kept | {
        "url": f"{server.url}{PATH}/download/{kept['id']}"}]
    assert download(server, kept).body == TEXT
    assert folder_of(folder) == sorted([*names_of(kept), "notes.txt"])
    assert os.listdir(folder / "runs") == []
    for file in (cut, unsaid, torn):
        server.wait_log(rf"warning file_dropped file={file['id']} reason=")


def test_files_that_an_older_server_kept_are_found(start, folder):
    """They lay in the folder itself."""
    server = start(NUMBERS, options=["--files", str(folder)])
    file = upload(server, TEXT)
    server.stop()
    for name in names_of(file):
        os.rename(folder / "stored" / name, folder / name)
    os.rmdir(folder / "stored")
    server = start(NUMBERS, options=["--files", str(folder)])
    assert download(server, file).body == TEXT
    assert folder_of(folder) == names_of(file)


def test_one_folder_is_one_servers(start, server, folder):
    other = start(NUMBERS, options=["--files", str(folder)], wait=False)
    assert other.wait_exit() == 2
    assert "another server has it" in other.log[-1]


def test_a_folder_that_others_may_write_to_is_refused_and_left_as_it_is(start, tmp_path):
    tmp_path.chmod(0o777)
    server = start(NUMBERS, options=["--files", str(tmp_path)], wait=False)
    assert server.wait_exit() == 2
    assert "chmod go-w" in server.log[-1]
    assert tmp_path.stat().st_mode & 0o777 == 0o777


def test_a_file_that_is_not_used_for_its_time_goes(start, folder):
    server = start(NUMBERS, options=["--files", str(folder), "--files-ttl", "1s"])
    file = upload(server, b"x")
    wait_until(lambda: server.get(f"{PATH}/{file['id']}").status == 404)
    wait_until(lambda: folder_of(folder) == [])
    server.wait_log(rf"info file_removed file={file['id']} .*--files-ttl")


def test_what_was_not_used_for_longest_makes_room(start, folder):
    server = start(NUMBERS, options=["--files", str(folder), "--files-total", "100k"])
    one, two = upload(server, b"1" * 40000), upload(server, b"2" * 40000)
    assert download(server, one).body == b"1" * 40000
    three = upload(server, b"3" * 40000)
    wait_until(lambda: folder_of(folder) == names_of(one, three))
    assert server.get(f"{PATH}/{two['id']}").status == 404
    assert [server.metric(f"millrace_files{name}") for name in ("", "_bytes", "_limit_bytes", "_kept_total",
                                                                "_removed_total", "_failed_total")] == \
        [2, 80000, 102400, 3, 1, 0]
    response = server.ask("POST", PATH, b"4" * 110000, raw())
    assert response.status == 507 and "--files-total" in response.json()["detail"]
    server.stop()
    server = start(NUMBERS, options=["--files", str(folder), "--files-total", "50k"])
    wait_until(lambda: folder_of(folder) == names_of(three))


def test_a_server_without_a_folder_says_which_option_has_one(start):
    server = start(NUMBERS)
    for method, path in (("POST", PATH), ("GET", PATH), ("GET", PATH + "/x"), ("DELETE", PATH + "/x"),
                         ("GET", PATH + "/download/x")):
        response = server.ask(method, path, b"x" if method == "POST" else None)
        assert response.status == 501 and "--files DIR" in response.json()["detail"]


@pytest.fixture
def on_small_disk(start, small_disk):
    """on_small_disk(kib): a server whose files are on a disk of that size; and their folder, to be seen from here."""
    def started(kib):
        command, disk, seen = small_disk(kib)
        server = start(NUMBERS, command=command, options=["--files", str(disk / "files")])
        return server, f"{seen(server.process.pid)}/files"

    return started


def test_a_full_disk_is_507_and_nothing_is_left(on_small_disk):
    server, folder = on_small_disk(2048)
    file = upload(server, b"x" * 500_000)
    for headers, body in ((raw(), b"y" * 4_000_000), (FORM, form(b"y" * 4_000_000))):
        response = server.ask("POST", PATH, body, headers)
        assert response.status == 507 and "disk is full" in response.json()["detail"]
    assert folder_of(folder) == names_of(file)
    assert upload(server, b"z" * 1_000_000)["size"] == 1_000_000
    assert server.run("local/numbers:v1", 1, "x", 0).status == 200
