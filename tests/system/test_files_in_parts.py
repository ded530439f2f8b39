# SPDX-License-Identifier: MIT
"""Files that come in parts, as clients of the original package send large ones: whole, or nothing is left of them."""

import hashlib
import hmac
import json
import os
import threading
import time
import urllib.parse

import pytest

from pipeline.cloud import files as client
from server import bearer, example, make_tokens, wait_until

NUMBERS = example("numbers.so")
V3 = "/v3/pipeline_files"
PARTS = [bytes([65 + i]) * size for i, size in enumerate((100_000, 1, 70_000, 300_000))]


@pytest.fixture(scope="module")
def tokens(tmp_path_factory):
    path = tmp_path_factory.mktemp("tokens") / "tokens"
    return path, *make_tokens(path, "alice", "bob")


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("parts") / "files"


@pytest.fixture(scope="module")
def server(start_shared, folder, tokens):
    return start_shared(NUMBERS, options=["--files", str(folder), "--token-file", str(tokens[0])])


@pytest.fixture(scope="module")
def alice(tokens):
    return bearer(tokens[1])


def ask(server, what, body, headers, expected=200):
    response = server.ask("POST", f"{V3}/{what}", json.dumps(body).encode(), headers)
    assert response.status == expected, response
    return response.json()


class Upload:
    """One that was begun."""

    def __init__(self, server, headers, name="a.bin"):
        self.server, self.headers = server, headers
        self.said = ask(server, "initiate-multipart-upload", {"name": name}, headers)

    def url(self, number, expected=200):
        return ask(self.server, "presigned-url", self.said | {"part_num": number}, self.headers,
                   expected).get("upload_url")

    def put(self, number, data, expected=200, headers=None):
        return put(self.server, self.url(number), data, expected, headers)

    def finalise(self, tags, expected=201):
        metadata = [{"ETag": tag, "PartNumber": number} for number, tag in tags]
        return ask(self.server, "finalise-multipart-upload", self.said | {"multipart_metadata": metadata}, self.headers,
                   expected)


def path_of(url):
    parts = urllib.parse.urlsplit(url)
    return f"{parts.path}?{parts.query}"


def put(server, url, data, expected=200, headers=None):
    response = server.ask("PUT", path_of(url), data, headers or {})
    assert response.status == expected, response
    return response.header("ETag")


def download(server, file, headers):
    return server.get(f"/v4/files/download/{file['id']}", headers).body


def parts_of(folder):
    return os.listdir(f"{folder}/parts")


def nothing_waits(server, folder):
    wait_until(lambda: parts_of(folder) == [] and server.metric("millrace_input_memory_bytes") == 0)


@pytest.mark.parametrize("size", [0, 1, 1000, 1001, 123_456])
def test_the_client_sends_a_file_in_parts(server, tokens, folder, tmp_path, monkeypatch, size):
    monkeypatch.setattr(client, "FILE_CHUNK_SIZE", 1000)
    monkeypatch.setenv("PIPELINE_API_URL", server.url)
    monkeypatch.setenv("PIPELINE_API_TOKEN", tokens[1])
    data = os.urandom(size)
    path = tmp_path / "a photo.bin"
    path.write_bytes(data)
    done = client.upload_multipart_file(path)
    file = server.get(f"/v4/files/{done.id}", bearer(tokens[1])).json()
    assert (file["name"], file["size"], file["sha256"]) == (path.name, size, hashlib.sha256(data).hexdigest())
    assert client.get_path_from_id(done.id) == done.path == done.id
    assert download(server, file, bearer(tokens[1])) == data
    nothing_waits(server, folder)


def test_parts_come_in_any_order_and_the_last_of_a_number_counts(server, folder, alice):
    upload = Upload(server, alice, "../../x\0y.bin")
    stale = upload.put(2, b"old")
    tags = {number: upload.put(number, PARTS[number - 1]) for number in (4, 2, 1, 3)}
    assert len(set(tags.values()) | {stale}) == 5
    wait_until(lambda: len(parts_of(folder)) == 4)
    upload.finalise(sorted({**tags, 2: stale}.items()), 400)
    file = upload.finalise(sorted(tags.items()))
    assert (file["id"], file["name"], file["size"]) == (upload.said["file_id"], "x_y.bin", sum(map(len, PARTS)))
    assert file["sha256"] == hashlib.sha256(b"".join(PARTS)).hexdigest()
    assert download(server, file, alice) == b"".join(PARTS)
    assert server.get(f"{V3}/{file['id']}", alice).json() == file
    nothing_waits(server, folder)
    for what in (lambda: upload.url(1, 404), lambda: upload.finalise([], 404)):
        what()


def test_parts_come_side_by_side(server, folder, alice):
    upload, tags = Upload(server, alice), {}
    bodies = {number: bytes([number]) * 50_000 for number in range(1, 33)}

    def send(number):
        tags[number] = upload.put(number, bodies[number])
    threads = [threading.Thread(target=send, args=(number,)) for number in bodies for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    # Of two of one number either was the last; so each comes once more.
    tags = {number: upload.put(number, body) for number, body in bodies.items()}
    file = upload.finalise([(number, tag.strip('"')) for number, tag in sorted(tags.items())])
    assert download(server, file, alice) == b"".join(bodies.values())
    nothing_waits(server, folder)


def test_a_list_that_is_wrong_is_told_what_and_can_be_put_right(server, folder, alice):
    upload = Upload(server, alice)
    tags = [(number, upload.put(number, PARTS[0])) for number in (1, 2, 3)]
    one, two, three = tags
    for wrong, word in (([one, two], "Part 3 was uploaded"), ([two, three], "Part 1 was uploaded"),
                        ([], "Part 1 was uploaded"), ([one, two, three, (4, three[1])], "Part 4 was not uploaded"),
                        ([one, two, (3, two[1])], "ETag of part 3"), ([one, two, (3, "")], "ETag of part 3"),
                        ([one, one, two, three], "part 1 after part 1"), ([two, one, three], "Part 1 was uploaded"),
                        ([one, two, (0, "x")], "PartNumber"), ([one, two, (10001, "x")], "PartNumber"),
                        ([one, two, ("3", three[1])], "PartNumber"), ([one, two, (3.5, three[1])], "PartNumber"),
                        ([one, two, (3, 3)], "ETag")):
        answer = upload.finalise(wrong, 400)
        assert word in answer["detail"], (wrong, answer)
    for number in (0, 10001, -1, 1.5, "x", None):
        upload.url(number, 400)
    assert upload.finalise(tags)["size"] == 3 * len(PARTS[0])
    nothing_waits(server, folder)


@pytest.mark.parametrize("what,body,place", [
    ("initiate-multipart-upload", b"{", "jsondecode"), ("initiate-multipart-upload", b"[]", ""),
    ("initiate-multipart-upload", b'{"name":1}', "name"), ("presigned-url", b"{}", "part_num"),
    ("presigned-url", b'{"part_num":1}', "file_id"), ("presigned-url", b'{"part_num":1,"file_id":"x"}', "upload_id"),
    ("presigned-url", b'{"part_num":1,"file_id":1}', "file_id"), ("finalise-multipart-upload", b"{}", "multipart"),
    ("finalise-multipart-upload", b'{"multipart_metadata":1}', "multipart"),
    ("finalise-multipart-upload", b'{"multipart_metadata":[]}', "file_id")])
def test_a_body_of_another_shape_is_422(server, alice, what, body, place):
    response = server.ask("POST", f"{V3}/{what}", body, alice)
    assert response.status == 422 and place in json.dumps(response.json()["detail"]), response


def test_a_url_of_a_part_is_for_that_part_until_its_time(server, folder, tokens, alice):
    bob = bearer(tokens[2])
    upload, other = Upload(server, alice), Upload(server, alice)
    url = path_of(upload.url(1))
    for forged in (url.replace("/1?", "/2?"), url.replace(upload.said["upload_id"], other.said["upload_id"]),
                   url[:-1] + ("0" if url[-1] != "0" else "1"), url.replace("expires=", "expires=1"),
                   url.replace("/v4/files/parts/", "/v4/files/parts//"), url.split("?", maxsplit=1)[0]):
        response = server.ask("PUT", forged, b"x")
        assert response.status in (401, 403), forged
    secret = (folder / "secret").read_bytes()

    def signed(purpose, expires):
        claim = f"{purpose}\n{upload.said['upload_id']}\n1\n{expires}".encode()
        return f"{url.split('?')[0]}?expires={expires}&signature={hmac.new(secret, claim, 'sha256').hexdigest()}"
    soon, past = int(time.time()) + 60, int(time.time()) - 1
    assert server.ask("PUT", signed("part", past), b"x").status == 403
    assert server.ask("PUT", signed("download", soon), b"x").status == 403
    assert server.ask("PUT", signed("part", soon), b"x").status == 200
    # A token does as well, if it is the one that began.
    assert server.ask("PUT", url.split("?", maxsplit=1)[0], b"y", alice).status == 200
    assert server.ask("PUT", url.split("?", maxsplit=1)[0], b"z", bob).status == 404
    for number in ("0", "10001", "x", "1/2", ""):
        assert server.ask("PUT", f"/v4/files/parts/{upload.said['upload_id']}/{number}", b"x", alice).status == 404
    for what in ("presigned-url", "finalise-multipart-upload"):
        ask(server, what, upload.said | {"part_num": 1, "multipart_metadata": []}, bob, 404)
        ask(server, what, upload.said | {"part_num": 1, "multipart_metadata": []}, {}, 401)
        ask(server, what, {**upload.said, "file_id": other.said["file_id"], "part_num": 1, "multipart_metadata": []},
            alice, 404)
    tag = put(server, url, b"last")
    file = upload.finalise([(1, tag)])
    assert download(server, file, alice) == b"last"
    assert put(server, url, b"more", 404) is None
    other.finalise([])


def test_a_part_that_is_cut_or_lies_about_its_length_leaves_nothing(server, folder, alice):
    upload = Upload(server, alice)
    for headers in ({"Content-Length": "1000000"}, {"Transfer-Encoding": "chunked"}):
        with server.connect() as connection:
            connection.send(connection.head("PUT", path_of(upload.url(1)), headers))
            connection.send(b"x" * 300_000 if "Content-Length" in headers else b"fffff\r\n" + b"x" * 300_000)
            wait_until(lambda: server.metric("millrace_files_bytes") > 0)
    nothing_waits(server, folder)
    with server.connect() as connection:
        connection.send(connection.head("PUT", path_of(upload.url(1)), {"Transfer-Encoding": "chunked"}))
        connection.send(b"2\r\nabc\r\n")
        assert connection.response().status == 400
    nothing_waits(server, folder)
    assert upload.finalise([])["size"] == 0


def test_a_file_is_kept_though_its_client_has_left(server, folder, alice):
    upload = Upload(server, alice)
    tag = upload.put(1, PARTS[0] * 100)
    body = json.dumps(upload.said | {"multipart_metadata": [{"ETag": tag, "PartNumber": 1}]}).encode()
    with server.connect() as connection:
        connection.request("POST", f"{V3}/finalise-multipart-upload", body, alice)
    wait_until(lambda: server.get(f"{V3}/{upload.said['file_id']}", alice).status == 200)
    nothing_waits(server, folder)


def test_what_is_not_finalised_goes_after_its_time_and_at_a_restart(start, tmp_path):
    folder = tmp_path / "files"
    options = ["--files", str(folder), "--files-ttl"]
    server = start(NUMBERS, options=[*options, "1s"])
    upload = Upload(server, {})
    upload.put(1, PARTS[0])
    upload.put(70, PARTS[1])
    assert len(parts_of(folder)) == 2 and server.metric("millrace_files_bytes") > 0
    wait_until(lambda: parts_of(folder) == [] and server.metric("millrace_files_bytes") == 0)
    server.wait_log(rf"info parts_removed upload={upload.said['upload_id']} .*parts=2 bytes=100001")
    upload.url(2, 404)
    server.stop()
    server = start(NUMBERS, options=[*options, "1h"])
    upload = Upload(server, {})
    url = upload.url(1)
    put(server, url, PARTS[0])
    server.process.kill()
    server.wait_exit()
    server = start(NUMBERS, options=[*options, "1h"])
    assert parts_of(folder) == []
    assert server.ask("PUT", path_of(url), b"x").status == 404


def test_parts_are_bounded_as_whole_files_are(start, tmp_path):
    folder = tmp_path / "files"
    server = start(NUMBERS, options=["--files", str(folder), "--file-limit", "100k", "--files-total", "170k"])
    upload, other = Upload(server, {}), Upload(server, {})
    upload.put(1, b"x" * 102_401, 413)
    tag = upload.put(1, b"x" * 60_000)
    upload.put(2, b"x" * 60_000, 413)
    wait_until(lambda: server.metric("millrace_files_bytes") == 60_000)
    again = upload.put(1, b"x" * 100_000)  # in place of it
    other.put(1, b"x" * 80_000, 507)
    upload.finalise([(1, tag)], 400)
    assert upload.finalise([(1, again)])["size"] == 100_000
    # The finished one makes room, as it does for others.
    assert other.finalise([(1, other.put(1, b"x" * 90_000))])["size"] == 90_000
    assert server.get(f"/v4/files/{upload.said['file_id']}").status == 404
    nothing_waits(server, folder)
    assert server.metric("millrace_files_bytes") == 90_000


def test_a_disk_that_is_full_when_parts_are_put_together_is_507(start, small_disk):
    command, disk, seen = small_disk(2048)
    server = start(NUMBERS, command=command, options=["--files", str(disk / "files")])
    folder = f"{seen(server.process.pid)}/files"
    upload = Upload(server, {})
    tags = [(1, upload.put(1, b"x" * 1_200_000))]
    upload.put(2, b"x" * 1_200_000, 507)
    answer = upload.finalise(tags, 507)
    assert "disk is full" in answer["detail"]
    nothing_waits(server, folder)
    assert os.listdir(f"{folder}/stored") == [] and server.metric("millrace_files_bytes") == 0
    upload = Upload(server, {})
    tags = [(number, upload.put(number, b"y" * 300_000)) for number in (1, 2, 3, 4)]
    assert upload.finalise(tags)["size"] == 1_200_000  # each part goes when it was taken


def test_a_server_that_stops_lets_parts_be_put_together(start, tmp_path):
    server = start(NUMBERS, options=["--files", str(tmp_path / "files")])
    upload = Upload(server, {})
    tag = upload.put(1, PARTS[3] * 100)
    body = json.dumps(upload.said | {"multipart_metadata": [{"ETag": tag, "PartNumber": 1}]}).encode()
    with server.connect() as connection:
        connection.request("POST", f"{V3}/finalise-multipart-upload", body)
        wait_until(lambda: server.ask("PUT", f"/v4/files/parts/{upload.said['upload_id']}/2", b"").status == 404)
        server.signal(15)
        assert connection.response().status == 201
    assert server.wait_exit() == 0
    assert len(os.listdir(tmp_path / "files" / "stored")) == 2
