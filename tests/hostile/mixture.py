# SPDX-License-Identifier: MIT
"""mixture - attacks at random, each as likely in earnest as not, and what became of them."""

import collections
import resource
import threading

import attacks
import server as servers
import wire
from arena import EVIL, NUMBERS, OTHER, WORDS, answer_of

SIGNALLED = ("kill", "tkill", "tgkill", "rt_sigqueueinfo", "rt_tgsigqueueinfo", "pidfd_send_signal", "fcntl-setown", "ioctl-")
# Sanitizers say something of their own where a process has no address space left.
RESOURCES = [number for number in range(16) if not (servers.IS_SANITIZED and number in (resource.RLIMIT_AS, resource.RLIMIT_DATA))]
ANSWER_TIMEOUT_S = 1.5
FLOODS = ("flood-output", "flood-lines", "flood-bells", "flood-packets", "flood-log", "flood-large", "flood-shutdown", "spin")
PROCESSES = ("daemon", "headless", "children 20", "fork-storm 300", "deaf", "clone-parent 20")
TEXT = "the quick brown fox jumps over the lazy dog"


def target(chance, pids):
    name = chance.choice(("dispatcher", "spawner", "sibling", "victim", "self"))
    word = str(pids[name]) if name in pids else name
    return word + chance.choice(("", "", "", "+upper"))


def call(chance, pids):
    name = chance.choice(attacks.CALLS).name
    signal = f" {chance.choice((0, 9, 9, 19))}" if name.startswith(SIGNALLED) else ""
    if name == "kill-all":
        return f"{name}{signal}"
    return f"{name} {target(chance, pids)}{signal}"


def limit_in_earnest(chance, pids):
    return f"prlimit64-zero {target(chance, pids)} {chance.choice(RESOURCES)}"


def file(chance, pids):
    kind, entries = chance.choice((("proc", attacks.FILES), ("proc-thread", attacks.THREAD_FILES)))
    entry = chance.choice(entries)
    return f"{kind} {entry.name} {entry.mode} {target(chance, pids)}"


def oom(chance, pids):
    return f"oom-choose {target(chance, pids)}"


def machine(chance, _):
    return chance.choice(attacks.MACHINE).name


def named_object(chance, _):
    entry = chance.choice(attacks.OBJECTS)
    return f"{chance.choice((entry.make, *entry.attacks))} {chance.randrange(4)}"


def limit(chance, _):
    entry = chance.choice(attacks.LIMITS)
    return f"{entry.name} {min(entry.most, chance.choice((100, 2000, 20000)))}"


def scribble(chance, _):
    return f"scribble {chance.choice(attacks.PATTERNS)} {chance.randrange(1 << 30)} {chance.choice((100, 2000))} 3000"


def forged_record(chance, _):
    words = (chance.choice((0, 1, 2, 3, 3, 4, 5, 6, 77)), chance.choice((0, 0, 1, 2, 255)), chance.choice((0, 1, 9, 65535)),
             chance.randrange(5), chance.choice((0, 1, 9)), chance.choice((0, 16, 262080, 1 << 31, (1 << 32) - 1)))
    return "record-forge " + " ".join(map(str, words[:chance.randrange(1, 7)]))


def forged_memory(chance, _):
    return chance.choice((f"fragments {chance.choice((1, 10, 255))}", f"progress-forge {chance.randrange(30, 64)}"))


def flood(chance, _):
    return f"{chance.choice(FLOODS)} {chance.choice((50, 500))}"


def chunks(chance, _):
    return f"flood-chunks {chance.choice((100, 20000))} {chance.choice((0, 8, 60000))}"


def packets(chance, _):
    return chance.choice(("packet-descriptors 3", "packet-linger 5", "packet-memory 64", f"packet-huge {chance.choice((1, 60000, 200000))}",
                          f"packet-forge {chance.randrange(6)} {chance.choice((0, 1, 4_000_000_000))}"))


def network(chance, pids):
    return f"{chance.choice(attacks.SOCKETS).name} {pids['port']}"


def processes(chance, _):
    return chance.choice(PROCESSES)


def printing(*_):
    return "print-controls"


def rest(*_):
    return "rest 5"


KINDS = ((call, 8), (limit_in_earnest, 3), (file, 4), (oom, 1), (machine, 2), (named_object, 2), (limit, 3), (scribble, 6),
         (forged_record, 3), (forged_memory, 2), (flood, 3), (chunks, 2), (packets, 2), (network, 3), (processes, 2), (printing, 1),
         (rest, 6))


def choose(chance, pids):
    [kind] = chance.choices([kind for kind, _ in KINDS], [weight for _, weight in KINDS])
    return kind(chance, pids)


class Attacker(threading.Thread):
    """Attacks one after the other until it is told to stop."""

    def __init__(self, arena, chance, pointer):
        super().__init__(daemon=True)
        self.arena, self.chance, self.pointer = arena, chance, pointer
        self.stopped = threading.Event()
        self.results = collections.Counter()
        self.wrong = []

    def run(self):
        while not self.stopped.is_set() and self.arena.server.is_alive():
            try:
                words = choose(self.chance, self.pids())
            except (OSError, ValueError, AssertionError, wire.Closed):
                self.stopped.wait(0.1)
                continue
            self.results[words.split()[0], self.attack(words)] += 1

    def pids(self):
        other = OTHER if self.pointer == EVIL else EVIL
        pid_of = lambda pointer: self.arena.worker(pointer)["pid"] or 0  # noqa: E731
        return {"sibling": pid_of(other) or 1 << 22, "victim": pid_of(NUMBERS) or 1 << 22, "port": self.arena.server.port}

    def attack(self, words):
        """What became of it, in a word; every line that comes must be a line."""
        try:
            with self.arena.begin(words, self.pointer) as stream:
                stream.connection.socket.settimeout(ANSWER_TIMEOUT_S)
                lines = map(wire.check_line, stream.raw_lines())
                first = next(lines, None)
                if first is None:
                    return "nothing"
                if first["error"] is not None:
                    return first["error"]["type"]
                # Whoever scribbles may have scribbled over it.
                answer = (str(answer_of(first)).split() or [""])[0]
                answer = answer if answer.isidentifier() and answer.isascii() else "scribble"
                for line in lines:
                    if line["error"] is not None:
                        return f"{answer}, {line['error']['type']}"
                return answer
        except TimeoutError:
            return "left"
        except (wire.Closed, OSError):
            return "cut"
        except (ValueError, AssertionError) as error:
            self.wrong.append(f"{words}: {error!r}"[:300])
            return "WRONG"


class Victim(threading.Thread):
    """Streams, each compared with what it must be, byte for byte."""

    def __init__(self, arena):
        super().__init__(daemon=True)
        self.arena = arena
        self.stopped = threading.Event()
        self.right = self.total = 0
        self.wrong = []

    def run(self):
        count = 0
        while not self.stopped.is_set() and self.arena.server.is_alive():
            count += 1
            self.total += 1
            try:
                self.look(count)
                self.right += 1
            except Exception as error:  # noqa: BLE001  whatever it is, it is a stream that was not right
                self.wrong.append(f"{error!r}"[:400])

    def look(self, count):
        if count % 4 == 0:
            found = [wire.output_of(line) for line in self.arena.server.lines(WORDS, TEXT)]
            assert "".join(found).split() == TEXT.split(), found
            return
        text = chr(ord("a") + count % 26) * (300_000 if count % 7 == 0 else 200)
        lines = 3 if count % 7 == 0 else 40
        found = [wire.output_of(line) for line in self.arena.server.lines(NUMBERS, lines, text, 5)]
        assert [(item["i"], item["chunk"]) for item in found] == [(index, text) for index in range(lines)]
