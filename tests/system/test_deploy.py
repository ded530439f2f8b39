# SPDX-License-Identifier: MIT
"""What the pages for those who run a server tell them to type and to write works."""

import http.client
import json
import os
import pwd
import re
import shutil
import signal
import socket
import ssl
import subprocess
import threading
import time

import pytest
import yaml

from server import IS_SANITIZED, MILLRACE, TOP, example, wait_until

NUMBERS = "local/numbers:v1"
ENDED = f'millrace_runs_ended_total{{pipeline="{NUMBERS}",end="completed"}}'
RULES = os.path.join(TOP, "deploy/prometheus/millrace.rules.yml")
NO_NAMESPACES = 77


def text_of(name):
    with open(os.path.join(TOP, name), encoding="utf-8") as file:
        return file.read()


@pytest.fixture(scope="module", autouse=True)
def ten_minutes(request, tmp_path_factory):
    """What takes longest, and waits most of the time, goes on beside the other tests, if it is among them."""
    if IS_SANITIZED or not any("can_be_typed" in item.name for item in request.session.items):
        yield None
        return
    with open(tmp_path_factory.mktemp("typed") / "said", "w+", encoding="utf-8") as said, \
            subprocess.Popen([os.path.join(TOP, "tests/ten_minutes/run"), "--here"], stdin=subprocess.DEVNULL, stdout=said,
                             stderr=subprocess.STDOUT, start_new_session=True) as process:
        yield process, said
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


# ---- proxies --------------------------------------------------------------------------------------------------


def blocks(kind):
    """The texts of this kind in docs/deploy.md."""
    found = re.findall(rf"^```{kind}\n(.*?)^```$", text_of("docs/deploy.md"), re.MULTILINE | re.DOTALL)
    assert found, kind
    return found


def block(kind):
    """The only one."""
    found, = blocks(kind)
    return found


def put(text, **changes):
    """The text with other words in place of some that it must have."""
    for old, new in changes.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A folder with key.pem, certificate.pem, and both.pem, for localhost."""
    folder = tmp_path_factory.mktemp("certificate")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "1", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", "key.pem", "-out", "certificate.pem"],
                   cwd=folder, check=True, capture_output=True, timeout=60)
    (folder / "both.pem").write_text((folder / "certificate.pem").read_text() + (folder / "key.pem").read_text())
    return folder


class Proxy:
    """A proxy with TLS on a port of its own, for two servers of which `old` is asked first."""

    def __init__(self, folder, certificate, old, new):
        self.folder, self.certificate, self.old, self.new = folder, certificate, old, new
        self.context = ssl.create_default_context(cafile=certificate / "certificate.pem")
        self.process = None

    def run(self, check, command, **options):
        checked = subprocess.run(check, capture_output=True, text=True, timeout=20, check=False, **options)
        assert checked.returncode == 0, checked.stdout + checked.stderr
        with open(self.folder / "stderr", "wb") as stderr:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=stderr, stderr=stderr, **options)

    def __enter__(self):
        with socket.create_server(("127.0.0.1", 0), backlog=256) as listener:
            self.port = listener.getsockname()[1]
            self.start(listener)
        return self

    def __exit__(self, *_):
        self.process.terminate()
        self.process.wait(20)

    def stream(self, length, pause_ms=0, path="/v4/runs/stream"):
        """The status and the lines of one run through the proxy, on a connection of its own."""
        connection = http.client.HTTPSConnection("localhost", self.port, timeout=20, context=self.context)
        connection.connect()
        body = json.dumps({"pipeline": NUMBERS, "stream_options": {"final_line": True},
                           "inputs": [{"type": "integer", "value": length}, {"type": "string", "value": "x"},
                                      {"type": "integer", "value": pause_ms}]})
        connection.request("POST", path, body, {"Content-Type": "application/json"})
        with connection.getresponse() as response:
            return response.status, [json.loads(line) for line in response if line.strip()]


class Nginx(Proxy):
    def start(self, listener):
        temporary = "".join(f"{kind}_temp_path {self.folder}/{kind};\n"
                            for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"))
        (self.folder / "nginx.conf").write_text(
            f"daemon off; user {pwd.getpwuid(os.geteuid()).pw_name}; pid {self.folder}/pid; events {{}}\n"
            f"http {{ access_log off;\n{temporary}include {self.folder}/site.conf; }}\n")
        self.serve(self.old)
        command = ["nginx", "-e", "stderr", "-p", str(self.folder), "-c", str(self.folder / "nginx.conf")]
        self.run([*command, "-t"], command, env=dict(os.environ, NGINX=f"{listener.fileno()};"),
                 pass_fds=[listener.fileno()])

    def serve(self, server):
        (self.folder / "site.conf").write_text(put(block("nginx"), **{
            "127.0.0.1:8081": server.address, "443 ssl": f"127.0.0.1:{self.port} ssl",
            "/etc/ssl/certs/millrace.pem": f"{self.certificate}/certificate.pem",
            "/etc/ssl/private/millrace.key": f"{self.certificate}/key.pem"}))

    def change_over(self):
        self.serve(self.new)
        self.process.send_signal(signal.SIGHUP)


class Haproxy(Proxy):
    def start(self, listener):
        (self.folder / "haproxy.cfg").write_text(put(block("haproxy"), **{
            "127.0.0.1:8081": self.old.address, "127.0.0.1:8082": self.new.address,
            ":443 ssl": f"fd@{listener.fileno()} ssl", "/etc/haproxy/millrace.pem": f"{self.certificate}/both.pem"}))
        command = ["haproxy", "-db", "-f", str(self.folder / "haproxy.cfg")]
        self.run([*command, "-c"], command, pass_fds=[listener.fileno()])

    def change_over(self):
        """Its checks do."""
        self.old.signal(signal.SIGTERM)


def stop_in_order(server):
    """By one signal, which may have come already: a second one would stop it at once."""
    if not server.log_since(0, " signal "):
        server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


@pytest.fixture(params=[Nginx, Haproxy])
def proxy(request, start, certificate, tmp_path):
    program = request.param.__name__.lower()
    if not shutil.which(program):
        pytest.fail(f"{program} is not installed (make test installs it)")
    delay, = {text for text in re.findall(r"--drain-delay (\d+s)", text_of("docs/deploy.md"))}
    servers = [start(example("numbers.so"), options=["--concurrency", "64", "--allow-host", "millrace", "--drain-delay", delay])
               for _ in range(2)]
    with request.param(tmp_path, certificate, *servers) as made:
        wait_until(lambda: made.stream(1)[0] == 200, what="the proxy")
        yield made
    for server in servers:
        if server.is_alive():
            server.signal(signal.SIGTERM)  # the next one ends the delay
            server.wait_log(" signal ")


def test_streams_come_through_a_proxy_line_by_line_and_metrics_do_not(proxy):
    began_s = time.monotonic()
    times_s = []
    connection = http.client.HTTPSConnection("localhost", proxy.port, timeout=20, context=proxy.context)
    body = {"pipeline": NUMBERS, "inputs": [{"type": "integer", "value": 5}, {"type": "string", "value": "x"},
                                            {"type": "integer", "value": 100}]}
    connection.request("POST", "/v4/runs/stream", json.dumps(body), {"Content-Type": "application/json"})
    with connection.getresponse() as response:
        for _ in response:
            times_s.append(time.monotonic() - began_s)
    assert len(times_s) == 5 and times_s[-1] - times_s[0] > 0.3, times_s
    connection.request("GET", "/metrics")
    assert connection.getresponse().status == 403


def test_no_run_is_lost_while_the_proxy_changes_over_to_the_new_server(proxy):
    ends, is_over = [], threading.Event()

    def ask():
        while not is_over.is_set():
            try:
                status, lines = proxy.stream(3, 1)
                ends.append((status, lines[-1]["state"], len(lines)))
            except Exception as error:  # pylint: disable=broad-except
                ends.append(repr(error))

    def ask_at_length():
        status, lines = proxy.stream(30, 100)
        ends.append((status, lines[-1]["state"], len(lines) - 27))

    threads = [threading.Thread(target=target) for target in [ask] * 4 + [ask_at_length]]
    for thread in threads:
        thread.start()
    wait_until(lambda: len(ends) >= 50, what="50 runs")
    proxy.change_over()
    before_new = proxy.new.metric(ENDED)
    wait_until(lambda: proxy.new.metric(ENDED) >= before_new + 50, what="50 runs of the new server")
    stop_in_order(proxy.old)
    before = len(ends)
    wait_until(lambda: len(ends) >= before + 50, what="50 more runs")
    is_over.set()
    for thread in threads:
        thread.join(20)
    assert set(ends) == {(200, "completed", 4)}, [end for end in ends if end != (200, "completed", 4)][:5]


# ---- files that are only written here ------------------------------------------------------------------------


def help_text():
    result = subprocess.run([MILLRACE, "serve", "--help"], capture_output=True, text=True, timeout=20, check=True)
    return " ".join(result.stdout.split())


def default_s(option):
    """The default of an option that is a time in seconds."""
    return int(re.search(rf"--{option} \S*TIME .*?default (\d+)s\)", help_text())[1])


@pytest.mark.parametrize("added", blocks("ini"))
def test_what_is_added_to_the_unit_is_what_systemd_knows(added, tmp_path):
    if not shutil.which("systemd-analyze"):
        pytest.fail("systemd-analyze is missing (make test installs systemd)")
    unit = tmp_path / "millrace@.service"
    unit.write_text(text_of("deploy/systemd/millrace@.service.in").replace("@PREFIX@/bin/millrace", MILLRACE))
    (tmp_path / "millrace@.service.d").mkdir()
    (tmp_path / "millrace@.service.d/more.conf").write_text(added.replace("/usr/local/bin/millrace", MILLRACE))
    result = subprocess.run(["systemd-analyze", "verify", "--man=no", str(unit)], capture_output=True, text=True,
                            timeout=60, check=False)
    assert result.stdout + result.stderr == ""


def test_logrotate_takes_the_rotation_and_the_server_opens_a_new_file(start, tmp_path):
    if not shutil.which("logrotate"):
        pytest.fail("logrotate is missing (make test installs it)")
    log = tmp_path / "millrace.log"
    server = start(example("words.so"), options=["--log-file", str(log)], deaf=True, wait=False)
    wait_until(lambda: log.exists() and "worker_ready" in log.read_text(), what="the log")
    rotation, = re.findall(r"^(/var/log/millrace/.*?^})$", text_of("docs/operations.md"), re.MULTILINE | re.DOTALL)
    signal_sent = re.search(r"systemctl kill .*--signal=(\w+) .*", rotation)
    rotation = put(rotation, **{"/var/log/millrace": str(tmp_path),
                                signal_sent[0]: f"kill -{signal_sent[1]} {server.process.pid}"})
    (tmp_path / "rotation").write_text(rotation + "\n")
    for options in (["-d"], ["-f", "-v"]):
        result = subprocess.run(["logrotate", *options, "-s", tmp_path / "state", tmp_path / "rotation"],
                                capture_output=True, text=True, timeout=20, check=False)
        assert result.returncode == 0 and "error" not in result.stderr, result.stderr
    wait_until(lambda: log.exists() and "log_reopened" in log.read_text(), what="the new log")
    assert "worker_ready" in (tmp_path / "millrace.log.1").read_text()
    server.signal(signal.SIGTERM)
    assert server.wait_exit() == 0


def test_prometheus_takes_the_configuration(tmp_path):
    (tmp_path / "prometheus.yml").write_text(block("yaml"))
    shutil.copy(RULES, tmp_path)
    promtool("check", "config", tmp_path / "prometheus.yml")


# ---- containers -----------------------------------------------------------------------------------------------


def test_the_profile_for_containers_denies_what_workers_are_denied_and_not_io_uring():
    calls = re.search(r"machine_calls\[\] = \{(.*?)\};", text_of("worker/confine/syscall_filter.c"), re.DOTALL)[1]
    denied = {name for name in re.findall(r"SCMP_SYS\((\w+)\)", calls) if not name.startswith("io_uring_")}
    profile = json.loads(text_of("deploy/containers/seccomp.json"))
    rule, = profile["syscalls"]
    assert profile["defaultAction"] == "SCMP_ACT_ALLOW" and rule["action"] == "SCMP_ACT_ERRNO"
    assert set(rule["names"]) == denied and len(rule["names"]) == len(denied) > 40


@pytest.mark.skipif(IS_SANITIZED, reason="an image has what is released")
def test_the_image_has_the_libraries_that_the_programs_need():
    last = text_of("deploy/containers/Dockerfile").split("\nFROM ")[-1]
    told = set(re.search(r"install (.*?)&&", last, re.DOTALL)[1].split())
    told = {word for word in told if word[0].isalpha()}
    assert all(package in text_of("docs/deploy.md") for package in told)
    programs = [os.path.join(os.path.dirname(MILLRACE), program) for program in ("millrace", "millrace-worker")]
    linked = subprocess.run(["ldd", *programs], capture_output=True, text=True, check=True).stdout
    libraries = {os.path.basename(path) for path in re.findall(r"=> (/\S+)", linked)}
    # A folder of / may be a link into /usr, and dpkg knows one of the two.
    owners = subprocess.run(["dpkg", "-S", *("*/" + library for library in libraries)], capture_output=True, text=True,
                            check=False).stdout
    for library in libraries:
        packages = {line.split(":")[0] for line in owners.splitlines() if os.path.basename(line) == library}
        assert packages & (told | {"libc6"}), f"the programs need {library}, of {packages}"


def test_the_manifests_for_kubernetes_say_what_the_server_knows():
    deployment, service = yaml.safe_load_all(text_of("deploy/kubernetes/millrace.yaml"))
    pod = deployment["spec"]["template"]["spec"]
    container, = pod["containers"]
    for argument in container["args"]:
        if argument.startswith("--"):
            assert f" {argument.split('=')[0]} " in help_text(), argument
    assert container["args"][0].count("=") == 1

    image_listens = re.search(r'"0\.0\.0\.0:(\d+)"', text_of("deploy/containers/Dockerfile"))[1]
    port, = container["ports"]
    assert str(port["containerPort"]) == image_listens
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]
    assert service["spec"]["selector"] == deployment["spec"]["selector"]["matchLabels"] \
        == deployment["spec"]["template"]["metadata"]["labels"]

    routes = text_of("dispatcher/api/routes.c")
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert f'"{container[probe]["httpGet"]["path"]}"' in routes
        assert container[probe]["httpGet"]["port"] == port["name"]
    delay_s = int(re.search(r"--drain-delay=(\d+)s", " ".join(container["args"]))[1])
    assert pod["terminationGracePeriodSeconds"] > delay_s + default_s("stop-timeout") + default_s("cancel-grace")
    assert container["readinessProbe"]["periodSeconds"] * container["readinessProbe"]["failureThreshold"] < delay_s
    assert {mount["name"] for mount in container["volumeMounts"]} == {volume["name"] for volume in pod["volumes"]}


# ---- alerts ---------------------------------------------------------------------------------------------------

# What an alert is tried with: its name, series by name with their values once a minute, when it is asked for, and
# labels that it has then; None: it does not fire.
FAILED = 'millrace_runs_ended_total{pipeline="a",end="pipeline_error"}'
COMPLETED = 'millrace_runs_ended_total{pipeline="a",end="completed"}'
LEFT = 'millrace_runs_cancelled_total{pipeline="a",cause="client_gone"}'
ALERTS = [
    ("MillraceDown", {'up{job="millrace",instance="1"}': "0x9", 'up{job="millrace",instance="2"}': "1x9"}, "5m", None),
    ("MillraceDown", {'up{job="millrace",instance="1"}': "0x9"}, "5m", {}),
    ("MillraceRunsFail", {FAILED: "0+10x20", COMPLETED: "0+90x20"}, "15m", {"pipeline": "a"}),
    ("MillraceRunsFail", {FAILED: "0+1x20", COMPLETED: "0+99x20", LEFT: "0+90x20"}, "15m", None),
    ("MillraceRefuses", {'millrace_refusals_total{pipeline="a",cause="queue_full"}': "0+1x20"}, "15m",
     {"pipeline": "a", "cause": "queue_full"}),
    ("MillraceRefuses", {'millrace_refusals_total{pipeline="a",cause="input"}': "0+1x20"}, "15m", None),
    ("MillracePipelineNotReady", {'millrace_pipeline_state{pipeline="a",state="quarantined"}': "1x9"}, "5m",
     {"pipeline": "a", "state": "quarantined"}),
    ("MillraceReloadFailed", {'millrace_reload_ok{instance="1"}': "1 0 0 0"}, "3m", {"instance": "1"}),
    ("MillraceReloadFailed", {'millrace_reload_ok{instance="1"}': "1 0 1 1"}, "3m", None),
    ("MillraceReloadFailed", {'millrace_reload_ok{instance="1"}': "1x9"}, "5m", None),
    ("MillraceWorkersRestart", {'millrace_worker_restarts_total{pipeline="a",cause="crashed"}': "0+1x20"}, "15m",
     {"pipeline": "a", "cause": "crashed"}),
    ("MillraceWorkersRestart", {'millrace_worker_restarts_total{pipeline="a",cause="recycled_runs"}': "0+1x20"}, "15m",
     None),
    ("MillraceQueueWaits", {'millrace_run_wait_seconds_bucket{pipeline="a",le="5.0"}': "0+1x20",
                            'millrace_run_wait_seconds_bucket{pipeline="a",le="10.0"}': "0+2x20",
                            'millrace_run_wait_seconds_bucket{pipeline="a",le="+Inf"}': "0+2x20"}, "15m",
     {"pipeline": "a"}),
    ("MillraceOutputMemory", {"millrace_output_memory_bytes": "90x9", "millrace_output_memory_limit_bytes": "100x9"}, "5m",
     {}),
    ("MillraceLogDropped", {"millrace_log_lines_dropped_total": "0+5x20"}, "15m", {}),
]


def promtool(*arguments):
    result = subprocess.run(["promtool", *map(str, arguments)], capture_output=True, text=True, timeout=60, check=False)
    assert result.returncode == 0, result.stdout + result.stderr


def rules():
    with open(RULES, encoding="utf-8") as file:
        return [rule for group in yaml.safe_load(file)["groups"] for rule in group["rules"]]


def test_each_alert_is_tried_and_asks_for_metrics_that_there_are(start):
    assert {name for name, *_ in ALERTS} == {rule["alert"] for rule in rules()}
    shown = start(example("words.so")).get("/metrics").body.decode()
    for rule in rules():
        for metric in re.findall(r"\bmillrace_\w+", rule["expr"]):
            assert f"\n{metric}" in shown, metric


@pytest.mark.parametrize("name,series,at,labels", ALERTS)
def test_an_alert_fires_when_it_should(name, series, at, labels, tmp_path):
    rule, = [rule for rule in rules() if rule["alert"] == name]
    annotations = {key: re.sub(r"{{ \$labels\.(\w+) }}", lambda match: (labels or {}).get(match[1], ""), text)
                   for key, text in rule["annotations"].items()}
    expected = [] if labels is None else [{"exp_labels": labels, "exp_annotations": annotations}]
    (tmp_path / "test.yml").write_text(yaml.safe_dump({
        "rule_files": [RULES], "evaluation_interval": "1m",
        "tests": [{"interval": "1m", "input_series": [{"series": key, "values": value} for key, value in series.items()],
                   "alert_rule_test": [{"eval_time": at, "alertname": name, "exp_alerts": expected}]}]}))
    promtool("test", "rules", tmp_path / "test.yml")


# ---- ten minutes ------------------------------------------------------------------------------------------------------


@pytest.mark.bounded(240)
@pytest.mark.skipif(IS_SANITIZED, reason="the page builds what is released")
def test_the_ten_minutes_can_be_typed_as_they_are_written(ten_minutes):
    process, said = ten_minutes
    status = process.wait(timeout=230)
    said.seek(0)
    text = said.read()
    if status == NO_NAMESPACES:
        pytest.skip(text.strip())
    assert status == 0, text
