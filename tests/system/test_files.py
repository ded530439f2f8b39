# SPDX-License-Identifier: MIT
"""Files are uploaded, kept over restarts, downloaded whole or in part, and removed; nothing is left of half ones."""

import contextlib
import hashlib
import hmac
import json
import os
import re
import socket
import subprocess
import threading
import time
import urllib.parse

import pytest

import wire
from server import SLOWNESS, bearer, example, make_tokens, wait_until

NUMBERS = example("numbers.so")
PATH = "/v4/files"
TEXT = bytes(range(256)) * 5000  # more than a buffer, and no even part of one
BOUNDARY = "a-boundary"


def form(data, name='filename="a.bin"', field="pfile", more=b""):
    head = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="{field}"; {name}\r\n\r\n'
    return more + head.encode() + data + f"\r\n--{BOUNDARY}--\r\n".encode()


FORM = {"Content-Type": f"multipart/form-data; boundary={BOUNDARY}"}


def raw(name="a.bin"):
    return {"Content-Type": "application/octet-stream",
            "Content-Disposition": "attachment; filename*=UTF-8''" + urllib.parse.quote(name, safe="")}


def upload(server, data, name="a.bin", headers=None, expected=201):
    response = server.ask("POST", PATH, data, {**raw(name), **(headers or {})})
    assert response.status == expected, response
    return response.json()


def download(server, file, headers=None):
    return server.get(f"{PATH}/download/{file['id']}", headers)


def hash_of(data):
    return hashlib.sha256(data).hexdigest()


def folder_of(folder):
    return sorted(os.listdir(f"{folder}/stored"))


def names_of(*files):
    return sorted(name for file in files for name in (file["id"], file["id"] + ".about"))


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "files"


@pytest.fixture
def server(start, folder):
    return start(NUMBERS, options=["--files", str(folder)])


@pytest.fixture(scope="module")
def shared(start_shared, tmp_path_factory):
    """A server of many tests, and its folder, in which are files of others."""
    folder = tmp_path_factory.mktemp("shared") / "files"
    return start_shared(NUMBERS, options=["--files", str(folder)]), folder


@pytest.fixture(scope="module")
def kept(shared):
    return shared[0], upload(shared[0], TEXT)


@pytest.fixture(scope="module", autouse=True)
def slow(start_shared, tmp_path_factory):
    """An upload that waits for its end while other tests run."""
    folder = tmp_path_factory.mktemp("slow") / "files"
    server = start_shared(NUMBERS, options=["--files", str(folder)])
    with server.connect() as connection:
        connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": "1000"}) + b"x")
        connection.socket.settimeout(20 * SLOWNESS)
        yield server, folder, connection


def nothing_is_left(server, folder):
    wait_until(lambda: server.metric("millrace_files_bytes") == 0)
    nothing_comes_of_it(server, folder, [])


def nothing_comes_of_it(server, folder, before):
    """Also of what was on its way: neither a file, a descriptor nor memory."""
    wait_until(lambda: server.metric("millrace_input_memory_bytes") == 0)
    wait_until(lambda: folder_of(folder) == before)

    def is_closed(fd):
        try:
            return not os.readlink(f"/proc/{server.process.pid}/fd/{fd}").startswith(f"{folder}/stored/")
        except FileNotFoundError:
            return True  # since it was listed
    wait_until(lambda: all(map(is_closed, os.listdir(f"/proc/{server.process.pid}/fd"))))


# ---- what comes in --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("data", [b"", b"x", TEXT, TEXT * 3], ids=len)
def test_a_file_is_what_was_uploaded_however_it_came(server, folder, data):
    files = [upload(server, data)]
    response = server.ask("POST", PATH, form(data), FORM)
    assert response.status == 201
    files.append(response.json())
    with server.connect() as connection:
        connection.send(connection.head("POST", PATH, {**raw(), "Transfer-Encoding": "chunked"}))
        for at in range(0, len(data), 70000):
            piece = data[at:at + 70000]
            connection.send(b"%x\r\n%s\r\n" % (len(piece), piece))
        connection.send(b"0\r\n\r\n")
        files.append(connection.response().json())
    for file in files:
        assert re.fullmatch(r"file_[0-9a-f]{32}", file["id"])
        assert file["path"] == file["id"] and file["name"] == "a.bin"
        assert (file["size"], file["sha256"]) == (len(data), hash_of(data))
        assert file["url"] == f"{server.url}{PATH}/download/{file['id']}"
        assert download(server, file).body == data
    assert folder_of(folder) == names_of(*files)
    assert os.stat(folder / "stored").st_mode & 0o777 == 0o700
    assert {os.stat(folder / "stored" / file["id"]).st_mode & 0o777 for file in files} == {0o444}
    assert os.stat(folder).st_mode & 0o777 == os.stat(folder / "runs").st_mode & 0o777 == 0o711


def test_curl_uploads_a_form_and_is_told_to_go_on(shared, tmp_path):
    server, _ = shared
    path = tmp_path / "photo of a cat.jpg"
    path.write_bytes(TEXT * 2)
    told = subprocess.run(["curl", "-s", "-v", "-F", f"pfile=@{path}", server.url + PATH],
                          capture_output=True, check=True)
    assert b"100 Continue" in told.stderr
    file = json.loads(told.stdout)
    assert (file["name"], file["size"], file["sha256"]) == (path.name, len(TEXT) * 2, hash_of(TEXT * 2))


def test_other_fields_of_a_form_are_passed_over(shared):
    server, _ = shared
    other = f'--{BOUNDARY}\r\nContent-Disposition: form-data; name="note"\r\n\r\nhello\r\n'.encode()
    response = server.ask("POST", PATH, form(b"data", more=other), FORM)
    assert response.status == 201
    assert download(server, response.json()).body == b"data"


def test_a_connection_goes_on_after_an_upload(shared):
    server, _ = shared
    with server.connect() as connection:
        for data in (b"one", TEXT, b"two"):
            connection.request("POST", PATH, data, raw())
            assert connection.response().json()["sha256"] == hash_of(data)
        connection.request("GET", "/livez")
        assert connection.response().status == 200


@pytest.mark.parametrize("said,harmless", [
    ("../../etc/passwd", "passwd"), ("..", "file"), ("", "file"), (".bashrc", "bashrc"), ("a/", "file"),
    ("C:\\dir\\a b.txt", "a b.txt"), ("a\0b\n\r\x7f.txt", "a_b___.txt"), ("naïve 写真.png", "naïve 写真.png"),
    ("\u202egnp.exe", "_gnp.exe"), ("x" * 900 + ".png", "x" * 196 + ".png"), ("x" * 9000, "x" * 200), ("写" * 80, "写" * 66)],
    ids=lambda text: ascii(text)[:20])
def test_a_hostile_name_is_made_harmless(shared, said, harmless):
    server, folder = shared
    before = folder_of(folder)
    file = upload(server, b"data", said)
    assert file["name"] == harmless
    response = download(server, file)
    assert urllib.parse.quote(harmless, safe="-._") in response.header("Content-Disposition")
    assert folder_of(folder) == sorted(before + names_of(file))


@pytest.mark.parametrize("headers,body,status", [
    (FORM, form(b"data", field="file"), 422),
    (FORM, form(b"data") + b"more", 400),
    (FORM, form(b"data")[:-6], 400),
    (FORM, b"no form", 400),
    (FORM, b"", 400),
    (FORM, form(b"data", name='filename="' + "x" * 10000 + '"'), 400),
    (FORM, form(b"data", name='filename="a\0b"'), 400),
    (FORM, form(b"1")[:-len(BOUNDARY) - 8] + b"\r\n" + form(b"2"), 400),
    ({"Content-Type": "multipart/form-data"}, form(b"data"), 400),
    ({**raw(), "Content-Encoding": "gzip"}, b"data", 415),
])
def test_what_is_no_upload_is_refused_and_leaves_nothing(shared, headers, body, status):
    server, folder = shared
    before = folder_of(folder)
    response = server.ask("POST", PATH, body, headers)
    assert response.status == status, response
    assert response.json()["detail"]
    nothing_comes_of_it(server, folder, before)


def test_a_file_that_is_too_large_is_refused_as_soon_as_that_is_known(start, folder):
    server = start(NUMBERS, options=["--files", str(folder), "--file-limit", "100k", "--body-limit", "2k"])
    assert upload(server, b"x" * 102400)["size"] == 102400
    for headers in (raw(), FORM):
        with server.connect() as connection:
            connection.send(connection.head("POST", PATH, {**headers, "Content-Length": "300000",
                                                           "Expect": "100-continue"}))
            response = connection.response()
            assert response.status == 413 and "--file-limit" in response.json()["detail"]
    for headers, data in ((raw(), b"x" * 150000), (FORM, form(b"x" * 102401))):
        with server.connect() as connection:
            connection.send(connection.head("POST", PATH, {**headers, "Transfer-Encoding": "chunked"}))
            connection.send(b"%x\r\n%s\r\n" % (len(data), data))
            response = connection.response()
            assert response.status == 413 and "limit" in response.json()["detail"]
    assert len(folder_of(folder)) == 2


def test_an_upload_that_is_cut_leaves_nothing(server, folder):
    for headers in ({"Content-Length": str(len(TEXT) + 1)}, {"Transfer-Encoding": "chunked"}):
        for way in (wire.Connection.close, wire.Connection.reset):
            connection = server.connect()
            connection.send(connection.head("POST", PATH, {**raw(), **headers}))
            connection.send(TEXT if "Content-Length" in headers else b"%x\r\n%s" % (len(TEXT) + 1, TEXT))
            wait_until(lambda: server.metric("millrace_connections") > 0)
            way(connection)
    nothing_is_left(server, folder)
    assert upload(server, b"x")["size"] == 1


@pytest.mark.parametrize("headers,body,status", [
    ({"Transfer-Encoding": "chunked"}, b"2\r\nabc\r\n0\r\n\r\n", 400),
    ({"Transfer-Encoding": "chunked"}, b"fffffffffffffffff\r\nabc", 413),
    ({"Transfer-Encoding": "chunked"}, b"-1\r\nabc", 400),
    ({"Transfer-Encoding": "chunked", "Content-Length": "3"}, b"3\r\nabc\r\n0\r\n\r\n", 400),
    ({"Content-Length": "99999999999999999999"}, b"abc", 400), ({"Content-Length": "9223372036854775807"}, b"abc", 413),
    ({"Content-Length": "-3"}, b"abc", 400),
    ({"Content-Length": "3, 4"}, b"abc", 400)])
def test_an_upload_that_lies_about_its_length_is_refused_and_leaves_nothing(shared, headers, body, status):
    server, folder = shared
    before = folder_of(folder)
    with server.connect() as connection:
        connection.send(connection.head("POST", PATH, {**raw(), **headers}) + body)
        assert connection.response().status == status
    nothing_comes_of_it(server, folder, before)


def test_what_is_sent_behind_a_body_is_no_part_of_it(shared):
    server, _ = shared
    with server.connect() as connection:
        connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": "3"}) + b"abc\0def")
        assert connection.response().json()["size"] == 3
        assert connection.response().status == 400


def test_a_server_that_is_killed_leaves_nothing_of_half_a_file(start, folder):
    server = start(NUMBERS, options=["--files", str(folder)])
    whole = upload(server, TEXT)
    with server.connect() as connection:
        connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": "100000000"}))
        connection.send(TEXT)
        server.process.kill()
        server.wait_exit()
    again = start(NUMBERS, options=["--files", str(folder)])
    assert folder_of(folder) == names_of(whole)
    assert download(again, whole).body == TEXT


@pytest.mark.bounded(120)
def test_a_thousand_uploads_at_once_are_all_kept_and_of_those_that_are_cut_nothing(start, folder):
    server = start(NUMBERS, options=["--files", str(folder), "--max-connections", "1100"])
    bodies = [i.to_bytes(2, "big") * (100 + 20 * i) for i in range(1000)]
    with contextlib.ExitStack() as stack:
        connections = [stack.enter_context(server.connect()) for _ in bodies]
        for connection, body in zip(connections, bodies):
            connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": str(len(body))}) + body[:100])
        for connection, body in zip(connections, bodies):
            connection.send(body[100:])
        for connection, body in zip(connections, bodies):
            response = connection.response()
            assert response.status == 201 and response.json()["sha256"] == hash_of(body)
        assert len(folder_of(folder)) == 2000 and server.metric("millrace_files") == 1000
        size = server.metric("millrace_files_bytes")
        for connection, body in zip(connections, bodies):
            connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": str(len(body) + 1)}) + body)
    wait_until(lambda: server.metric("millrace_input_memory_bytes") == 0)
    wait_until(lambda: server.metric("millrace_files_bytes") == size and len(folder_of(folder)) == 2000)


@pytest.mark.bounded(180)
def test_memory_stays_flat_while_large_files_come_and_go(server):
    """From the very first byte on, and also when the client's second file is in the socket at once."""
    piece, count = os.urandom(1 << 20), 64

    def resident():
        with open(f"/proc/{server.process.pid}/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGESIZE")
    before, most = resident(), 0
    with server.connect() as connection:
        for _ in range(2):
            connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": str(count << 20)}) + piece)
            for _ in range(count - 1):
                connection.send(piece)
                most = max(most, resident())
            file = connection.response().json()
            assert (file["size"], file["sha256"]) == (count << 20, hash_of(piece * count))
        connection.request("GET", f"{PATH}/download/{file['id']}")
        got = hashlib.sha256()
        head = connection.response_head()
        for _ in range(count):
            got.update(connection.take(1 << 20))
            most = max(most, resident())
        assert head.status == 200 and got.hexdigest() == file["sha256"]
    assert most - before < (1 << 20) * (1 if SLOWNESS == 1 else 64)


@pytest.mark.skipif(SLOWNESS > 1, reason="how much a socket has is a matter of time")
def test_several_buffers_of_a_large_file_are_taken_in_one_pass_of_the_loop(shared):
    server, _ = shared
    piece, count = bytes(1 << 20), 32

    def passes():
        return int(re.search(rb"^millrace_loop_pass_seconds_count (\d+)", server.get("/metrics").body, re.MULTILINE)[1])
    before = passes()
    with server.connect() as connection:
        connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": str(count << 20)}))
        for _ in range(count):
            connection.send(piece)
        assert connection.response().json()["size"] == count << 20
    assert passes() - before < 1500  # 2,048 buffers, and what threads say


# ---- what goes out --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("field,part", [
    ("bytes=0-0", slice(0, 1)), ("bytes=5-9", slice(5, 10)), ("bytes=1000000-", slice(1000000, None)),
    ("bytes=-7", slice(-7, None)), ("bytes=0-99999999999999999999", slice(None)), ("bytes=-9999999999", slice(None)),
    ("bytes=131071-262145", slice(131071, 262146)), ("Bytes= 3-4 ", slice(3, 5))])
def test_a_range_is_the_slice_of_it(kept, field, part):
    server, file = kept
    response = download(server, file, {"Range": field})
    assert response.status == 206 and response.body == TEXT[part]
    first, last, _ = part.indices(len(TEXT))
    assert response.header("Content-Range") == f"bytes {first}-{last - 1}/{len(TEXT)}"


@pytest.mark.parametrize("field", ["bytes=1-2,5-6", "bytes=2-1", "bytes=", "bytes=a-b", "lines=1-2", "bytes=1"])
def test_what_is_no_single_range_is_answered_with_all(kept, field):
    response = download(*kept, {"Range": field})
    assert (response.status, response.body) == (200, TEXT)
    assert response.header("Content-Range") is None


@pytest.mark.parametrize("field", [f"bytes={len(TEXT)}-", "bytes=99999999999999999999-", "bytes=-0"])
def test_a_range_that_does_not_exist_is_416(kept, field):
    response = download(*kept, {"Range": field})
    assert response.status == 416
    assert response.header("Content-Range") == f"bytes */{len(TEXT)}"


def test_a_client_that_has_it_gets_nothing_and_an_old_part_is_not_continued(kept):
    server, file = kept
    tag = f'"{file["sha256"]}"'
    for had in (tag, f'"x", W/{tag}', "*"):
        response = download(server, file, {"If-None-Match": had})
        assert (response.status, response.body, response.header("ETag")) == (304, b"", tag)
        assert response.header("Content-Length") is None
    assert download(server, file, {"If-None-Match": '"x"'}).body == TEXT
    assert download(server, file, {"Range": "bytes=1-2", "If-Range": tag}).body == TEXT[1:3]
    assert download(server, file, {"Range": "bytes=1-2", "If-Range": '"x"'}).body == TEXT


def test_a_download_says_what_it_is_and_is_never_run(shared):
    server, _ = shared
    types = {"a.png": "image/png", "A.JPG": "image/jpeg", "a.txt": "text/plain; charset=utf-8",
             "a.html": "application/octet-stream", "a": "application/octet-stream"}
    for name, kind in types.items():
        file = upload(server, b"data", name)
        response = download(server, file)
        assert response.header("Content-Type") == kind
        assert response.header("X-Content-Type-Options") == "nosniff"
        assert response.header("Accept-Ranges") == "bytes"
        assert response.header("ETag") == f'"{file["sha256"]}"'
        assert response.header("Content-Disposition").startswith(f'attachment; filename="{name}"')
        head = server.ask("HEAD", f"{PATH}/download/{file['id']}")
        assert (head.status, head.body, head.header("Content-Length")) == (200, b"", "4")


def test_a_slow_reader_gets_all_and_one_that_leaves_is_forgotten(server, folder):
    file = upload(server, TEXT * 8)
    with wire.Connection(server.port, receive_buffer_bytes=4096) as connection:
        connection.request("GET", file["url"])
        with wire.Connection(server.port) as gone:
            gone.request("GET", f"{PATH}/download/{file['id']}")
            gone.receive()
        connection.close()
    with wire.Connection(server.port, receive_buffer_bytes=4096) as connection:
        connection.request("GET", f"{PATH}/download/{file['id']}")
        assert connection.response().body == TEXT * 8
    server.ask("DELETE", f"{PATH}/{file['id']}")
    nothing_is_left(server, folder)


def test_a_file_that_vanished_from_the_disk_is_told_and_not_hidden(server, folder):
    file = upload(server, b"data")
    os.unlink(folder / "stored" / file["id"])
    assert download(server, file).status == 404
    server.wait_log(r"error download_failed .*No such file")


# ---- whose it is, and how long --------------------------------------------------------------------------------------


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


# ---- beside everything else -------------------------------------------------------------------------------------------


def test_an_upload_that_is_too_slow_is_ended(slow):
    """The rule for all bodies: so many bytes a second, after a grace of ten."""
    server, folder, connection = slow
    assert connection.response().status == 408
    nothing_is_left(server, folder)


def test_runs_go_on_while_files_come(server):
    stop = threading.Event()

    def send():
        with server.connect() as connection:
            connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": str(1 << 40 >> 8)}))
            try:
                while not stop.is_set():
                    connection.send(TEXT)
            except (OSError, socket.timeout):
                pass
    sender = threading.Thread(target=send)
    sender.start()
    for _ in range(20):
        assert len(server.lines("local/numbers:v1", 3, "x", 0)) == 3
    stop.set()
    sender.join()


def test_a_stopping_server_lets_an_upload_end(start, folder):
    server = start(NUMBERS, options=["--files", str(folder)])
    with server.connect() as connection:
        connection.send(connection.head("POST", PATH, {**raw(), "Content-Length": str(len(TEXT))}) + TEXT[:70000])
        wait_until(lambda: server.metric("millrace_connections") >= 1)
        server.signal(15)
        server.wait_log("draining")
        connection.send(TEXT[70000:])
        assert connection.response().json()["sha256"] == hash_of(TEXT)
    assert server.wait_exit() == 0
    assert len(folder_of(folder)) == 2


def test_a_server_that_is_stopped_at_once_leaves_nothing_of_half_a_file(start, folder):
    server = start(NUMBERS, options=["--files", str(folder)])
    file = upload(server, TEXT * 8)
    with server.connect() as up, wire.Connection(server.port, receive_buffer_bytes=4096) as down:
        up.send(up.head("POST", PATH, {**raw(), "Content-Length": str(len(TEXT) * 2)}) + TEXT)
        down.request("GET", f"{PATH}/download/{file['id']}")
        down.receive()
        server.signal(15)
        server.wait_log("draining")
        server.signal(15)
        server.stop(expected=9)
    assert folder_of(folder) == names_of(file)
