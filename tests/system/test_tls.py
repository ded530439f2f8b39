# SPDX-License-Identifier: MIT
"""`millrace run` over https, to a server that has a proxy with a certificate in front of it."""

import contextlib
import json
import os
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest

import server as servers
from proxy import nginx
from server import MILLRACE, bearer, example, make_tokens

NUMBERS = "local/numbers:v1"
OK, FAILED, USAGE, CONNECT = 0, 1, 2, 8
TIMEOUT_S = 30 * servers.SLOWNESS


def openssl(folder, *words):
    subprocess.run(["openssl", *words], cwd=folder, check=True, capture_output=True, timeout=60)


@pytest.fixture(scope="module")
def certificates(tmp_path_factory):
    """ca.pem, and what it has signed: a certificate for 127.0.0.1, one for another name, one of the past."""
    folder = tmp_path_factory.mktemp("tls")
    openssl(folder, "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-days", "2",
            "-subj", "/CN=test CA", "-addext", "keyUsage=keyCertSign", "-keyout", "ca.key", "-out", "ca.pem")
    for name, alternative, days in (("good", "IP:127.0.0.1", "2"), ("other", "DNS:other.example", "2"),
                                    ("past", "IP:127.0.0.1", "-1")):
        openssl(folder, "req", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes", "-subj", f"/CN={name}",
                "-keyout", f"{name}.key", "-out", f"{name}.csr")
        (folder / f"{name}.ext").write_text(f"subjectAltName={alternative}\n")
        openssl(folder, "x509", "-req", "-in", f"{name}.csr", "-CA", "ca.pem", "-CAkey", "ca.key", "-CAcreateserial", "-days",
                days, "-extfile", f"{name}.ext", "-out", f"{name}.pem")
    return folder


@pytest.fixture(scope="module")
def behind(start_shared, tmp_path_factory):
    """A server that asks for a token, and the token."""
    tokens = tmp_path_factory.mktemp("tokens") / "tokens"
    [token] = make_tokens(tokens, "alice")
    return start_shared(example("numbers.so"), options=["--token-file", str(tokens), "--cancel-grace", "2s"]), token


@contextlib.contextmanager
def secured(certificates, tmp_path, server, name="good"):
    """The server behind nginx with this certificate; the URL."""
    folder = tmp_path / f"nginx-{name}"
    folder.mkdir()
    with nginx(folder, f"proxy_pass {server.url}; proxy_http_version 1.1; proxy_buffering off;",
               tls=(certificates / f"{name}.pem", certificates / f"{name}.key")) as url:
        yield url


def words_of(url, token, *inputs, options=(), ca=None):
    return [MILLRACE, "run", NUMBERS, *map(str, inputs), "--url", url, "--token", token, *options,
            *(["--ca-file", str(ca)] if ca else [])]


def run(url, token, *inputs, environment=None, **more):
    return subprocess.run(words_of(url, token, *inputs, **more), capture_output=True, text=True, timeout=TIMEOUT_S,
                          check=False, env={**os.environ, "SSL_CERT_FILE": "", **(environment or {})})


def says(result, code, text):
    assert (result.returncode, result.stdout) == (code, ""), result
    assert result.stderr.count("\n") == 1 and text in result.stderr, result.stderr


def test_a_stream_comes_line_by_line_through_a_proxy_with_tls(certificates, tmp_path, behind):
    server, token = behind
    with secured(certificates, tmp_path, server) as url:
        with subprocess.Popen(words_of(url, token, 5, "x", 150, ca=certificates / "ca.pem"), stdout=subprocess.PIPE) as process:
            times = [time.monotonic() for _ in process.stdout]
            assert process.wait(TIMEOUT_S) == OK
    gaps = [after - before for before, after in zip(times, times[1:])]
    assert len(gaps) == 4 and all(gap > 0.05 for gap in gaps), gaps


def test_whom_to_trust_is_a_file_by_option_or_variable(certificates, tmp_path, behind):
    server, token = behind
    ca = certificates / "ca.pem"
    with secured(certificates, tmp_path, server) as url:
        assert run(url, token, 1, "x", 0, ca=ca).returncode == OK
        assert run(url, token, 1, "x", 0, environment={"SSL_CERT_FILE": str(ca)}).returncode == OK
        # The server's own certificate is enough, and the option comes before the variable.
        assert run(url, token, 1, "x", 0, ca=certificates / "good.pem", environment={"SSL_CERT_FILE": "/none"}).returncode == OK
        says(run(url, token, 1, "x", 0), CONNECT, "SSL certificate problem: unable to get local issuer certificate; "
                                                 "--ca-file FILE says whose certificates are trusted")
        says(run(url, token, 1, "x", 0, ca=certificates / "other.pem"), CONNECT, "SSL certificate problem: ")
        says(run(url, token, 1, "x", 0, ca="/none"), USAGE, "run: certificates in /none: No such file or directory")
        says(run(url, token, 1, "x", 0, ca=certificates / "ca.key"), USAGE, "certificate")
    assert server.metric("millrace_runs", bearer(token)) == 0


@pytest.mark.parametrize("name,why", [("other", "127.0.0.1"), ("past", "certificate has expired")])
def test_a_certificate_for_another_name_or_time_is_refused(certificates, tmp_path, behind, name, why):
    server, token = behind
    with secured(certificates, tmp_path, server, name) as url:
        result = run(url, token, 1, "x", 0, ca=certificates / "ca.pem")
        says(result, CONNECT, why)
        assert "--ca-file" not in result.stderr


def test_what_the_run_says_and_how_it_ends_is_as_over_http(certificates, tmp_path, behind):
    server, token = behind
    ca = certificates / "ca.pem"
    with secured(certificates, tmp_path, server) as url:
        says(run(url, "wrong", 1, "x", 0, ca=ca), FAILED, "status 401: Not authenticated.")
        assert "input 1: it is of type integer" in run(url, token, "one", "x", 0, ca=ca).stderr
        late = run(url, token, 1000, "x", 10, ca=ca, options=["--timeout", "300ms"])
        assert late.returncode == FAILED and late.stdout.startswith("{") and "timed out" in late.stderr.lower()
        with subprocess.Popen(words_of(url, token, 1000000, "x", 10, ca=ca), stdout=subprocess.PIPE) as process:
            process.stdout.readline()
            process.send_signal(signal.SIGINT)
            assert process.wait(TIMEOUT_S) == -signal.SIGINT
        servers.wait_until(lambda: server.metric("millrace_runs") == 0, what="the end of the runs")


def test_a_stream_that_is_cut_is_no_good_end(certificates, tmp_path, start):
    server = start(example("numbers.so"))
    with secured(certificates, tmp_path, server) as url:
        with subprocess.Popen(words_of(url, "t", 1000000, "x", 10, ca=certificates / "ca.pem"), stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE, text=True) as process:
            process.stdout.readline()
            server.process.kill()
            assert process.wait(TIMEOUT_S) == FAILED
            assert process.stderr.read().startswith("millrace: run: https://127.0.0.1:")
    server.wait_exit()


def test_trailers_are_looked_at_and_an_end_without_framing_is_none(certificates):
    """A proxy may hand trailers on, or make an answer that only its connection ends."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificates / "good.pem", certificates / "good.key")
    line = b'{"outputs":[{"type":"string","value":"a","file":null}],"error":null}\n'
    description = b'{"input_variables":[]}'
    head = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%s\r\n" % (len(line), line)
    for answer, code, text in (
            (head + b"0\r\nMillrace-Run-State: completed\r\nMillrace-Run-Lines: 1\r\n\r\n", OK, ""),
            (head + b"0\r\nMillrace-Run-State: completed\r\nMillrace-Run-Lines: 2\r\n\r\n", FAILED, "the server counts 2"),
            (b"HTTP/1.1 200 OK\r\n\r\n" + line, FAILED, "nothing says that this was all")):
        with socket.create_server(("127.0.0.1", 0)) as listener:
            def serve(listener=listener, answer=answer):
                for data in (b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(description), description), answer):
                    with context.wrap_socket(listener.accept()[0], server_side=True) as connection:
                        connection.recv(65536)
                        connection.sendall(data)
                        with contextlib.suppress(OSError):
                            connection.unwrap()

            thread = threading.Thread(target=serve, daemon=True)
            thread.start()
            result = run(f"https://127.0.0.1:{listener.getsockname()[1]}", "t", ca=certificates / "ca.pem")
            thread.join(TIMEOUT_S)
        assert (result.returncode, result.stdout) == (code, "a\n"), result
        assert text in result.stderr


def test_a_server_that_is_elsewhere_is_not_followed_but_named(tmp_path, behind):
    """Of http, proxies often say that it is https by now."""
    _, token = behind
    with nginx(tmp_path, "return 301 https://127.0.0.1:1$request_uri;") as url:
        says(run(url, token, 1, "x", 0), FAILED, "status 301: it is at https://127.0.0.1:1, which --url has to say\n")


def test_http_is_not_taken_for_https(behind):
    server, token = behind
    says(run(server.url.replace("http:", "https:"), token, 1, "x", 0), CONNECT, "; is it a server of https?")


# ---- bench ------------------------------------------------------------------------------------------------------------


def test_bench_loads_a_server_behind_tls_through_the_tunnel_of_its_page(certificates, tmp_path, behind):
    server, token = behind
    with open(os.path.join(servers.TOP, "docs/man/millrace-bench.1"), encoding="utf-8") as file:
        page = file.read().split("$ socat ")[1].split("\n$")[0].replace("\\e\n", "")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    with secured(certificates, tmp_path, server) as url:
        words = page.replace("TCP-LISTEN:8443", f"TCP-LISTEN:{port}").replace("box.example:443", url.split("//")[1]) \
            .replace("/etc/ssl/certs/ca-certificates.crt", str(certificates / "ca.pem")).split()
        with subprocess.Popen(["socat", *words], stderr=subprocess.PIPE) as tunnel:
            try:
                servers.wait_until(lambda: is_listening(port), what="the tunnel")
                result = subprocess.run(
                    [MILLRACE, "bench", NUMBERS, "20", "x", "1", "--url", f"http://127.0.0.1:{port}", "--token", token, "--json",
                     "--connections", "8", "--requests", "24", "--lines", "20", "--check"],
                    capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
            finally:
                tunnel.terminate()
    assert result.returncode == OK, result
    assert json.loads(result.stdout)["complete"] == 24


def is_listening(port):
    with open("/proc/net/tcp", encoding="ascii") as file:
        return any(line.split()[1].endswith(f":{port:04X}") and line.split()[3] == "0A" for line in file)
