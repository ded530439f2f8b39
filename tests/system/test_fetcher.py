# SPDX-License-Identifier: MIT
"""The process that fetches: what it gets, whom it does not ask, and servers that mean it ill."""

import gzip
import os
import ssl
import subprocess
import sys
import threading
import time

import pytest

from fetching import CANCEL, FAILED, Fetcher, Target, says, whole
from server import SLOWNESS


@pytest.fixture(scope="module")
def secret():
    """A server on 127.0.0.1 that nobody may reach."""
    target = Target(says(whole(b"secret")))
    yield target
    target.close()


@pytest.fixture(scope="module")
def guarded():
    """A fetcher that may reach 127.0.0.2, and nothing else that is not public."""
    fetcher = Fetcher(["127.0.0.2"])
    yield fetcher
    fetcher.close()


@pytest.fixture(scope="module")
def fetcher():
    """One that may reach what tests serve."""
    fetcher = Fetcher(["127.0.0.0/8"])
    yield fetcher
    fetcher.close()


@pytest.fixture
def serve():
    """serve(ANSWER) is a server of it."""
    targets = []

    def make(answer, **options):
        targets.append(Target(answer, **options))
        return targets[-1]

    yield make
    for target in targets:
        target.close()


# ---- what it gets ----


def test_file_comes_whole_and_says_how_far_it_is(fetcher, serve):
    body = os.urandom(5 << 20)
    target = serve(says(whole(body)))
    answer = fetcher.get(target.url("/dir/photo%20of%20me.png?size=1"), limit=len(body))
    assert (answer.fault, answer.status, answer.bytes) == ("none", 200, len(body))
    assert answer.data == body and answer.name == b"photo of me.png"
    assert 3 <= len(answer.progress) <= 5 and answer.progress == sorted(answer.progress)
    head = target.heads[0].decode()
    assert "Accept-Encoding: identity\r\n" in head and "Authorization" not in head and "Cookie" not in head


def test_chunked_file_without_a_length_and_empty_one(fetcher, serve):
    chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
    assert fetcher.get(serve(says(chunked)).url()).data == b"abcde"
    assert fetcher.get(serve(says(b"HTTP/1.0 200 OK\r\n\r\nuntil it closes")).url()).data == b"until it closes"
    answer = fetcher.get(serve(says(whole(b""))).url())
    assert (answer.fault, answer.bytes, answer.name) == ("none", 0, b"")


def test_name_is_what_the_server_calls_it(fetcher, serve):
    target = serve(says(whole(headers=["Content-Disposition: attachment; filename=\"a b.txt\""])))
    assert fetcher.get(target.url("/x.bin")).name == b"a b.txt"
    target = serve(says(whole(headers=["Content-Disposition: attachment; filename=../../etc/passwd"])))
    assert fetcher.get(target.url()).name == b"../../etc/passwd", "whoever keeps it makes it safe"


def test_redirections_are_followed(fetcher, serve):
    last = serve(says(whole(b"here")))
    first = serve(says(whole(b"", "302 Found", ["Location: /second"])))

    def answer(connection, head):
        location = last.url("/a b.txt") if b"GET /second " in head else "/second"
        connection.sendall(whole(b"gone", "301 Moved", [f"Location: {location}"]))

    first.answer = answer
    answer = fetcher.get(first.url())
    assert (answer.fault, answer.data, answer.name) == ("none", b"here", b"a b.txt")
    assert last.heads[0].startswith(b"GET /a%20b.txt ")


def test_status_is_said_and_nothing_is_kept(fetcher, serve):
    for status in ("404 Not Found", "500 Oh", "206 Partial Content", "304 Not Modified", "302 Found"):
        answer = fetcher.get(serve(says(whole(b"not it", status))).url())
        assert (answer.fault, answer.status, answer.data) == ("status", int(status[:3]), b"")
        assert answer.reason.endswith(f"answered with status {status[:3]}")


def test_post_sends_json_and_follows_nothing(fetcher, serve):
    other = serve(says(whole()))
    for status in ("200 OK", "204 No Content", f"307 Temporary Redirect\r\nLocation: {other.url()}", "410 Gone"):
        bodies = []

        def answer(connection, head, status=status, bodies=bodies):
            body = head.split(b"\r\n\r\n", 1)[1]
            while len(body) < 300_000:
                body += connection.recv(65536)
            bodies.append(body)
            connection.sendall(whole(b"thank you", status))

        target = serve(answer)
        said = fetcher.post(target.url("/hook?x=1"), b"j" * 300_000)
        assert (said.fault, said.status) == ("none", int(status[:3])) and bodies == [b"j" * 300_000]
        head = target.heads[0]
        assert head.startswith(b"POST /hook?x=1 HTTP/1.1\r\n") and b"\r\nContent-Type: application/json\r\n" in head
        assert b"\r\nContent-Length: 300000\r\n" in head and b"Expect" not in head
    assert other.connections == 0


def test_many_are_under_way_at_once(fetcher, serve):
    together = threading.Barrier(24)

    def answer(connection, head):
        together.wait(10)
        connection.sendall(whole(head.split()[1]))

    target = serve(answer)
    numbers = {fetcher.begin(target.url(f"/{i}")): i for i in range(24)}
    assert [fetcher.end(number).data.decode() for number in numbers] == [f"/{i}" for i in numbers.values()]


def test_proxies_of_the_environment_are_not_asked(serve, secret):
    target = serve(says(whole(b"mine")))
    before = secret.connections
    fetcher = Fetcher([target.place], {name: secret.url() for name in ("http_proxy", "all_proxy", "HTTP_PROXY")})
    try:
        assert fetcher.get(target.url()).data == b"mine"
        assert fetcher.get("http://192.0.2.1/").fault == "address"
    finally:
        fetcher.close()
    assert secret.connections == before


# ---- whom it does not ask ----

# Ways to write 127.0.0.1, or what leads there: PORT is where the server listens.
WAYS = [
    "http://127.0.0.1:PORT/", "http://127.1:PORT/", "http://127.0.1:PORT/", "http://2130706433:PORT/",
    "http://0x7f000001:PORT/", "http://0x7f.0.0.1:PORT/", "http://017700000001:PORT/", "http://0177.0.0.1:PORT/",
    "http://127.0.0.1.:PORT/", "http://0.0.0.0:PORT/", "http://0:PORT/", "http://localhost:PORT/",
    "http://LOCALHOST:PORT/", "http://localhost.:PORT/", "HTTP://127.0.0.1:PORT/", "http://[::1]:PORT/",
    "http://[::]:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "http://[::ffff:7f00:1]:PORT/",
    "http://[::127.0.0.1]:PORT/", "http://[0:0:0:0:0:ffff:7f00:0001]:PORT/", "http://[2002:7f00:1::]:PORT/",
    "http://[64:ff9b::7f00:1]:PORT/", "http://[64:ff9b::127.0.0.1]:PORT/", "http://[2001:0:7f00:1::80ff:fffe]:PORT/",
    "http://[fe80::1%25lo]:PORT/", "http://127.0.0.2@127.0.0.1:PORT/", "http://127.0.0.2:80@127.0.0.1:PORT/",
    "http://127.0.0.1:PORT\\@127.0.0.2/", "http://127.0.0.2#@127.0.0.1:PORT/", "http://%31%32%37.0.0.1:PORT/",
    "http://127%2e0%2e0%2e1:PORT/", "http://①②⑦.⓪.⓪.①:PORT/", "http://127。0。0。1:PORT/", "http://ⓛocalhost:PORT/",
    "http://127.0.0.1\t:PORT/", " http://127.0.0.1:PORT/", "http:\\\\127.0.0.1:PORT/", "http:127.0.0.1:PORT/",
    "//127.0.0.1:PORT/", "http:///127.0.0.1:PORT/", "file:///etc/passwd", "gopher://127.0.0.1:PORT/_x",
    "dict://127.0.0.1:PORT/x", "ftp://127.0.0.1:PORT/x", "http://127.0.0.1:PORT%20/", "http://127.255.255.254:PORT/",
    "http://[::ffff:0:127.0.0.1]:PORT/", "http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/",
]


@pytest.mark.parametrize("way", WAYS)
def test_no_way_leads_to_127_0_0_1(guarded, secret, way):
    before = secret.connections
    answer = guarded.get(way.replace("PORT", str(secret.port)), timeout_ms=3000)
    assert answer.kind == FAILED and answer.data == b"" and secret.connections == before
    # The one host of these that may be asked has nobody who listens there.
    assert answer.fault == "connect" if "127.0.0.2#" in way else answer.fault in ("address", "url")


LOCATIONS = ["http://127.0.0.1:PORT/", "http://localhost:PORT/", "http://[::ffff:127.0.0.1]:PORT/", "//127.0.0.1:PORT/",
             "http://2130706433:PORT/", "http://127.0.0.2@127.0.0.1:PORT/", "file:///etc/passwd",
             "gopher://127.0.0.1:PORT/_x", "dict://127.0.0.1:PORT/x", "https://127.0.0.1:PORT/"]


@pytest.mark.parametrize("location", LOCATIONS)
def test_no_redirection_leads_there(guarded, secret, serve, location):
    before = secret.connections
    for status in ("301 Moved", "302 Found", "303 See Other", "307 Temporary", "308 Permanent"):
        headers = ["Location: " + location.replace("PORT", str(secret.port))]
        target = serve(says(whole(b"", status, headers)), host="127.0.0.2")
        answer = guarded.get(target.url(), timeout_ms=3000)
        assert answer.fault in ("address", "url") and answer.data == b"" and target.connections == 1
    assert secret.connections == before


# A resolver whose answer is another one each time: an address that may be connected to, and one that may not.
RESOLVER = r"""
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <netdb.h>
#include <string.h>
int getaddrinfo(const char *name, const char *port, const struct addrinfo *hints, struct addrinfo **out)
{
    static int (*real)(const char *, const char *, const struct addrinfo *, struct addrinfo **);
    static int count;
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "getaddrinfo");
    if (strcmp(name, "changing.example") == 0)
        name = count++ % 2 == 0 ? "127.0.0.2" : "127.0.0.1";
    return real(name, port, hints, out);
}
"""


def test_name_that_changes_its_address_does_not_lead_there(serve, tmp_path):
    library = tmp_path / "resolver.so"
    subprocess.run(["cc", "-shared", "-fPIC", "-o", library, "-xc", "-"], input=RESOLVER, text=True, check=True)
    allowed = serve(says(b""), host="127.0.0.2")
    secret = serve(says(whole(b"secret")), port=allowed.port)
    allowed.answer = says(whole(b"", "302 Found", [f"Location: http://changing.example:{allowed.port}/again"]))
    # A build with sanitizers wants to come first.
    fetcher = Fetcher(["127.0.0.2"], {"LD_PRELOAD": str(library), "ASAN_OPTIONS": "verify_asan_link_order=0"})
    try:
        answer = fetcher.get(f"http://changing.example:{allowed.port}/")
        assert answer.fault == "address" and answer.reason == \
            "changing.example is at a loopback address, which is not allowed"
        allowed.answer = says(whole(b"fine"))
        assert fetcher.get(f"http://changing.example:{allowed.port}/").data == b"fine"
        assert fetcher.get(f"http://changing.example:{allowed.port}/").fault == "address"
    finally:
        fetcher.close()
    assert allowed.connections == 2 and secret.connections == 0


def test_name_that_is_allowed_may_have_any_address_and_only_its_port(serve):
    target, other = serve(says(whole(b"mine"))), serve(says(whole(b"secret")))
    fetcher = Fetcher([f"localhost:{target.port}"])
    try:
        assert fetcher.get(f"http://localhost:{target.port}/").data == b"mine"
        assert fetcher.get(f"http://localhost:{other.port}/").fault == "address"
        assert fetcher.get(target.url()).fault == "address", "the address itself is not in the list"
    finally:
        fetcher.close()
    assert other.connections == 0


# ---- servers that mean it ill ----


def endless(connection, _head):
    connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
    while True:
        connection.sendall(b"10000\r\n" + b"x" * 65536 + b"\r\n")


def until_it_closes(connection, _head):
    connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def redirected_for_ever(connection, head):
    number = int(head.split()[1][1:] or b"0")
    connection.sendall(whole(b"", "302 Found", [f"Location: /{number + 1}"]))


def long_redirection(connection, _head):
    connection.sendall(b"HTTP/1.1 302 Found\r\nLocation: /\r\n\r\n")
    while True:
        connection.sendall(b"x" * 65536)


def continuing(connection, _head):
    while True:
        connection.sendall(b"HTTP/1.1 100 Continue\r\n\r\n" * 100)


ILL = {
    "a body without an end": (endless, "size", "more than 1048576 bytes"),
    "one that ends with the connection": (until_it_closes, "size", "more than 1048576 bytes"),
    "a length that is too large": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999999999\r\n\r\n"), "size", "more than"),
    "a length that is no number": (says(b"HTTP/1.1 200 OK\r\nContent-Length: -5\r\n\r\nhello"), "answer", "did not answer"),
    "fewer bytes than it said": (says(b"HTTP/1.1 200 OK\r\nContent-Length: 50\r\n\r\nhello"), "connect", "was cut"),
    "a chunk that is cut": (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n50\r\nhello"), "connect", "was cut"),
    "no answer": (says(b""), "connect", "was cut"),
    "no HTTP": (says(b"220 smtp.example ESMTP\r\n"), "answer", "did not answer"),
    "a compressed body": (says(whole(gzip.compress(b"0" * 9_000_000), headers=["Content-Encoding: gzip"])), "answer",
                          "compressed"),
    "a compressed transfer": (says(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n2\r\n\x1f\x8b\r\n0\r\n\r\n"),
                              "answer", "compressed"),
    "a line of the head of 1 MB": (says(b"HTTP/1.1 200 OK\r\nX: " + b"x" * 1_000_000 + b"\r\n\r\n"), "ours answer", ""),
    "a head of 1 MB": (says(b"HTTP/1.1 200 OK\r\n" + b"X: y\r\n" * 170_000 + b"\r\n"), "answer", "longer than 65536"),
    "heads without an end": (continuing, "answer", "longer than 65536"),
    "a redirection to itself": (says(whole(b"", "302 Found", ["Location: /"])), "answer", "more than 5 times"),
    "one redirection after another": (redirected_for_ever, "answer", "more than 5 times"),
    "a redirection with a body without an end": (long_redirection, "status", "status 302"),
    "a name that is none": (says(whole(headers=["Content-Disposition: attachment; filename=\"a\0b\""])), "answer", ""),
}


@pytest.mark.parametrize("what", ILL)
def test_ill_meant(fetcher, serve, what):
    answer, faults, reason = ILL[what]
    said = fetcher.get(serve(answer).url())
    assert said.fault in faults.split() and reason in said.reason and len(said.data) <= 1 << 20


def test_one_that_says_nothing_or_drips_is_given_up(fetcher, serve):
    def drip(connection, _head):
        connection.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\n")
        while True:
            connection.sendall(b"x")
            time.sleep(0.05)

    def be_silent(connection, _head):
        connection.recv(1)

    began = time.monotonic()
    numbers = [fetcher.begin(serve(be_silent).url(), timeout_ms=500), fetcher.begin(serve(drip).url(), timeout_ms=500),
               fetcher.begin_post(serve(be_silent).url(), b"{}", timeout_ms=500),
               fetcher.begin(serve(drip).url(), slow_s=1)]
    said = [fetcher.end(number) for number in numbers]
    assert [one.fault for one in said] == ["timeout"] * 4
    assert all(one.reason == "it took longer than 500 ms" for one in said[:3])
    assert said[3].reason == "less than 1024 bytes a second came from 127.0.0.1 for 1 s"
    assert time.monotonic() - began < 5 * SLOWNESS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=127.0.0.1",
                    "-addext", "subjectAltName=IP:127.0.0.1", "-keyout", folder / "key.pem", "-out", folder / "cert.pem"],
                   check=True, capture_output=True)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    return context


def test_certificate_that_nobody_trusts_is_refused(fetcher, serve, certificate):
    target = serve(says(whole(b"not it")), wrap=lambda socket: certificate.wrap_socket(socket, server_side=True))
    said = fetcher.get(target.url())
    assert said.fault == "connect" and said.reason == "the certificate of 127.0.0.1 is not one that this machine trusts"
    assert target.heads == []


def test_file_that_cannot_be_written_is_said(serve):
    fetcher = Fetcher(["127.0.0.1"], largest=100_000)
    try:
        said = fetcher.get(serve(says(whole(b"x" * 200_000))).url())
        assert said.fault == "disk" and said.reason == "it cannot be written (File too large)"
    finally:
        fetcher.close()


# ---- the process ----


def test_what_is_cancelled_ends_at_once_and_the_next_works(fetcher, serve):
    number = fetcher.begin(serve(endless).url(), limit=1 << 40)
    assert fetcher.hear().bytes >= 1 << 20
    fetcher.send(CANCEL, number=number)
    said = fetcher.end(number)
    assert (said.fault, said.reason) == ("ours", "it was cancelled")
    fetcher.send(CANCEL, number=number)
    assert fetcher.get(serve(says(whole(b"next"))).url()).data == b"next"


def test_it_ends_with_its_socket_in_mid_transfer(serve):
    fetcher = Fetcher(["127.0.0.1"])
    fetcher.begin(serve(endless).url(), limit=1 << 40)
    assert fetcher.hear().bytes >= 1 << 20
    fetcher.close()
    assert fetcher.process.returncode == 0


def test_it_is_confined(fetcher, serve):
    fetcher.get(serve(says(whole())).url())
    status = dict(line.split(":\t") for line in open(f"/proc/{fetcher.process.pid}/status") if ":\t" in line)
    assert status["Seccomp"].strip() == "2" and status["NoNewPrivs"].strip() == "1"
    if os.geteuid() == 0:
        assert status["Uid"].split()[0] == "65534"


# In a network of its own, which has a public address.
OWN_ADDRESS = r"""
import fcntl, socket, struct, sys
sys.path.insert(0, sys.argv[1])
from fetching import Fetcher, Target, says, whole

def interface(request, name, data):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as handle:
        fcntl.ioctl(handle, request, struct.pack("16s16s8x", name.encode(), data))

def give(name, address):
    interface(0x8916, name, struct.pack("=HH4s8x", socket.AF_INET, 0, socket.inet_aton(address)))
    interface(0x8914, name, struct.pack("=H14x", 1))

give("lo", "127.0.0.1")
give("lo:1", "8.8.4.4")
target = Target(says(whole(b"mine")), host="8.8.4.4")
for allow in ([], ["8.8.4.4"]):
    fetcher = Fetcher(allow)
    answer = fetcher.get(target.url())
    print(answer.fault, answer.reason, answer.data, target.connections)
    fetcher.close()
"""


def test_public_address_of_this_machine_is_not_asked_unless_that_is_allowed():
    own = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--map-root-user", "--net"]
    if subprocess.run([*own, "true"], check=False, capture_output=True).returncode != 0:
        pytest.skip("no network of one's own can be made here")
    said = subprocess.run([*own, sys.executable, "-c", OWN_ADDRESS, os.path.dirname(__file__)], capture_output=True,
                          text=True, check=True, timeout=30 * SLOWNESS).stdout
    assert said.splitlines() == ["address 8.8.4.4 is at an address of the server itself, which is not allowed b'' 0",
                                 "none  b'mine' 1"]
