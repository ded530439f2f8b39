# SPDX-License-Identifier: MIT
"""Files are uploaded, kept over restarts, downloaded whole or in part, and removed; nothing is left of half ones."""

import contextlib
import hashlib
import json
import os
import re
import socket
import subprocess
import threading
import urllib.parse

import pytest

import wire
from server import SLOWNESS, example, wait_until

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
