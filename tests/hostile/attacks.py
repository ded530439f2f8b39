# SPDX-License-Identifier: MIT
"""attacks - what each attack is expected to be told, as data: the tests read it, and docs/internals/faults.md is made of it.

A cell is one word for all settings, or three: if nothing is said, hardened (`--seccomp strict --network none --allow-read none
--allow-write none`), and with a user for each worker (`--worker-user`, or a server that is root's).

    REFUSED   EPERM, EACCES, ESRCH, or whatever else says that there is nothing to be had
    ALLOWED   "ok"
    HARMLESS  whatever it is told, nobody else notices
    NONE      the call has no such target
"""

import collections
import re

REFUSED, ALLOWED, HARMLESS, NONE = "refused", "allowed", "harmless", ""
SETTINGS = ("default", "hardened", "users")

REFUSALS = {"EPERM", "EACCES", "ESRCH"}
# Of calls, protocols and files that this kernel, or this machine, does not have.
ABSENCES = {"ENOSYS", "ENODEV", "ENOENT", "EOPNOTSUPP", "EPROTONOSUPPORT", "ESOCKTNOSUPPORT", "EAFNOSUPPORT", "ENOPROTOOPT"}

TARGETS = ("dispatcher", "spawner", "sibling", "self")
UPPER = ("dispatcher+upper", "sibling+upper")

Call = collections.namedtuple("Call", "name server sibling itself means")

LANDLOCK = "Landlock"
SIGNALS = "signals"
FILTER = "seccomp"
KERNEL = "the kernel"
STRICT = (ALLOWED, REFUSED, ALLOWED)

# name, on dispatcher and spawner, on another worker, on itself, by what it is refused
CALLS = [
    Call("prlimit64", REFUSED, REFUSED, ALLOWED, FILTER),
    Call("prlimit64-get", REFUSED, REFUSED, ALLOWED, FILTER),
    Call("setpriority", REFUSED, REFUSED, ALLOWED, FILTER),
    Call("setpriority-group", REFUSED, REFUSED, REFUSED, FILTER),
    Call("setpriority-user", REFUSED, REFUSED, REFUSED, FILTER),
    Call("ioprio_set", REFUSED, REFUSED, ALLOWED, FILTER),
    Call("ioprio_set-group", REFUSED, REFUSED, REFUSED, FILTER),
    Call("ioprio_set-user", REFUSED, REFUSED, REFUSED, FILTER),
    Call("sched_setscheduler", REFUSED, REFUSED, ALLOWED, FILTER),
    Call("sched_setparam", REFUSED, REFUSED, ALLOWED, FILTER),
    Call("sched_setattr", REFUSED, REFUSED, ALLOWED, FILTER),
    Call("sched_setaffinity", REFUSED, (ALLOWED, REFUSED, REFUSED), ALLOWED, "seccomp, strict; users"),
    Call("prctl-core", REFUSED, REFUSED, HARMLESS, LANDLOCK),
    Call("look", ALLOWED, ALLOWED, ALLOWED, "nothing: it is what `ps` shows"),
    Call("get_robust_list", REFUSED, REFUSED, STRICT, LANDLOCK),
    Call("kcmp", REFUSED, REFUSED, STRICT, LANDLOCK),
    Call("perf_event_open", REFUSED, REFUSED, REFUSED, FILTER),
    Call("kill", REFUSED, REFUSED, ALLOWED, SIGNALS),
    Call("kill-group", REFUSED, REFUSED, ALLOWED, SIGNALS),
    Call("kill-all", HARMLESS, NONE, NONE, SIGNALS),
    Call("kill-joined", HARMLESS, HARMLESS, STRICT, SIGNALS),
    Call("tkill", REFUSED, REFUSED, STRICT, SIGNALS),
    Call("tgkill", REFUSED, REFUSED, ALLOWED, SIGNALS),
    Call("rt_sigqueueinfo", REFUSED, REFUSED, ALLOWED, SIGNALS),
    Call("rt_tgsigqueueinfo", REFUSED, REFUSED, ALLOWED, SIGNALS),
    Call("fcntl-setown", HARMLESS, HARMLESS, NONE, SIGNALS),
    Call("fcntl-setown_ex", HARMLESS, HARMLESS, NONE, SIGNALS),
    Call("ioctl-fiosetown", HARMLESS, HARMLESS, NONE, SIGNALS),
    Call("ioctl-siocspgrp", HARMLESS, HARMLESS, NONE, SIGNALS),
    Call("pidfd_open", ALLOWED, ALLOWED, ALLOWED, "nothing: it tells of the end of a process"),
    Call("pidfd_send_signal", REFUSED, REFUSED, STRICT, SIGNALS),
    Call("pidfd_send_signal-folder", REFUSED, REFUSED, STRICT, SIGNALS),
    Call("pidfd_getfd", REFUSED, REFUSED, STRICT, LANDLOCK),
    Call("process_madvise", REFUSED, REFUSED, STRICT, LANDLOCK),
    Call("process_mrelease", HARMLESS, HARMLESS, HARMLESS, "the kernel: only of what is being killed"),
    Call("setns", REFUSED, REFUSED, REFUSED, FILTER),
    Call("process_vm_readv", REFUSED, REFUSED, STRICT, LANDLOCK),
    Call("process_vm_writev", REFUSED, REFUSED, STRICT, LANDLOCK),
    Call("move_pages", REFUSED, REFUSED, ALLOWED, LANDLOCK),
    Call("migrate_pages", REFUSED, REFUSED, STRICT, LANDLOCK),
    Call("ptrace-attach", REFUSED, REFUSED, NONE, LANDLOCK),
    Call("ptrace-seize", REFUSED, REFUSED, NONE, LANDLOCK),
    Call("setpgid", REFUSED, REFUSED, ALLOWED, KERNEL),
    Call("setpgid-join", REFUSED, HARMLESS, STRICT, "the kernel, seccomp (the spawner's); another worker's only ends with it"),
]

File = collections.namedtuple("File", "name mode server itself means")

READ = "the kernel, Landlock"
WRITE = "Landlock: a worker writes no file of others there"
# name in /proc/PID, r or w, on others, on itself
FILES = [
    *(File(name, "r", REFUSED, ALLOWED, READ) for name in (
        "mem", "maps", "smaps", "numa_maps", "environ", "auxv", "io", "fd/0", "fdinfo/0", "ns/mnt", "ns/pid",
        "pagemap", "personality", "map_files")),
    *(File(name, "r", REFUSED, STRICT, READ) for name in ("root", "cwd")),
    File("syscall", "r", REFUSED, HARMLESS, READ),
    File("stack", "r", REFUSED, HARMLESS, READ),
    File("timerslack_ns", "r", REFUSED, HARMLESS, READ),
    *(File(name, "w", REFUSED, HARMLESS, WRITE) for name in (
        "mem", "fd/0", "attr/current", "attr/exec", "setgroups", "uid_map", "gid_map", "timerslack_ns", "loginuid")),
    *(File(name, "w", REFUSED, HARMLESS, WRITE) for name in (
        "oom_score_adj", "oom_adj", "coredump_filter", "clear_refs", "comm", "autogroup", "sched", "projid_map",
        "timens_offsets", "make-it-fail", "fail-nth", "latency")),
    *(File(name, "r", ALLOWED, ALLOWED, "nothing: it is what `ps` shows") for name in (
        "stat", "status", "cmdline", "comm", "cgroup", "limits", "oom_score")),
]

# Of the first thread, likewise.
THREAD_FILES = [
    *(File(name, "r", REFUSED, ALLOWED, READ) for name in ("mem", "maps", "environ", "fd/0")),
    *(File(name, "w", REFUSED, HARMLESS, WRITE) for name in ("mem", "comm", "oom_score_adj", "clear_refs", "attr/current")),
]

Machine = collections.namedtuple("Machine", "name default hardened users means")

# Calls without a target.
MACHINE = [
    Machine("bpf", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("userfaultfd", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("io_uring_setup", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("fanotify_init", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("add_key", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("request_key", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("keyctl", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("clone-parent", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("socket-compat", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("socket-x32", REFUSED, REFUSED, REFUSED, FILTER),
    Machine("segment-seal", REFUSED, REFUSED, REFUSED, KERNEL),
    Machine("segment-truncate", REFUSED, REFUSED, REFUSED, KERNEL),
    Machine("segment-mode", HARMLESS, HARMLESS, HARMLESS, "the dispatcher has it mapped already"),
    Machine("segment-lease", HARMLESS, HARMLESS, HARMLESS, "nobody opens it"),
    Machine("bell-block", HARMLESS, HARMLESS, HARMLESS, "the dispatcher's own description of each"),
    Machine("bell-shrink", HARMLESS, HARMLESS, HARMLESS, "one byte rings it"),
    Machine("bell-fill", HARMLESS, HARMLESS, HARMLESS, "a bell that is full rings already"),
    Machine("bell-overflow", HARMLESS, HARMLESS, HARMLESS, "a count that is full rings already"),
    Machine("prctl-ptracer", HARMLESS, HARMLESS, HARMLESS, "it concerns itself alone"),
]

Object = collections.namedtuple("Object", "make attacks default hardened users means")

# What one worker makes, and another one takes: the kernel asks only whose it is.
OBJECTS = [
    Object("shm-make", ("shm-attach", "shm-remove"), REFUSED, REFUSED, REFUSED, FILTER),
    Object("sem-make", ("sem-remove",), REFUSED, REFUSED, REFUSED, FILTER),
    Object("msg-make", ("msg-remove",), REFUSED, REFUSED, REFUSED, FILTER),
    Object("mq-make", ("mq-open", "mq-remove"), REFUSED, REFUSED, REFUSED, FILTER),
    Object("posix-shm-make", ("posix-shm-open", "posix-shm-remove"), ALLOWED, ALLOWED, REFUSED, "users"),
]

NETWORK_SETTINGS = {"connect": ("--allow-connect", "9"), "none": ("--network", "none"), "strict": ("--seccomp", "strict")}
Socket = collections.namedtuple("Socket", "name connect none strict")

# With --allow-connect for another port, --network none, --seccomp strict; without any of them all of it is allowed.
SOCKETS = [
    *(Socket(name, REFUSED, REFUSED, REFUSED) for name in (
        "tcp-connect", "tcp6-connect", "tcp-unspecified", "tcp-sendto", "tcp-sendmsg", "tcp-sendmmsg", "tcp-fastopen", "tcp-listen",
        "tcp-bind", "tcp-reuseport", "mptcp-connect", "mptcp-listen", "mptcp-sendto", "smc-connect", "sctp", "sctp-many", "dccp",
        "vsock", "raw", "packet", "alg", "socket-compat", "socket-x32", "mptcp-upper")),
    Socket("udp-send", ALLOWED, REFUSED, REFUSED),
    Socket("udplite-send", REFUSED, REFUSED, REFUSED),
    Socket("ping", REFUSED, REFUSED, REFUSED),
    Socket("netlink", ALLOWED, REFUSED, REFUSED),
    Socket("socket-upper", HARMLESS, REFUSED, REFUSED),
]

Limit = collections.namedtuple("Limit", "name most means")

# What the kernel counts for each user. `most` bounds what root is not bound by.
LIMITS = [
    Limit("take-flight", 1000, "a hard limit of descriptors below the server's"),
    Limit("take-processes", 300, "a hard limit of threads below the server's"),
    Limit("take-threads", 1000, "a hard limit of threads below the server's"),
    Limit("take-inotify", 5000, "the server has none"),
    Limit("take-inotify-watches", 20000, "the server has none"),
    Limit("take-epoll-watches", 20000, "the server has none"),
    Limit("take-pipes", 20000, "pipes for workers need a page only"),
    Limit("take-signals", 200000, "a hard limit below the server's, which queues none"),
    Limit("take-timers", 200000, "the server has none"),
    Limit("take-aio", 4096, "the server has none"),
    Limit("take-locked", 2000, "the server locks none"),
    Limit("take-memfds", 2000, "its own descriptors"),
    Limit("take-queues", 2000, "the server has none"),
    Limit("take-keys", 1000, "seccomp"),
    Limit("take-sockets", 2000, "its own descriptors"),
    Limit("take-descriptors", 20000, "its own descriptors"),
]

PATTERNS = ["tail", "head", "length", "kind", "slot", "generation", "sequence", "words", "delivered", "progress", "cancel", "crash",
            "bells", "requests", "constants", "payload", "anything", "holes"]

# Attack of evil.py, on others, on itself.
PYTHON = [
    ("resource.prlimit", REFUSED, ALLOWED), ("libc.prlimit", REFUSED, HARMLESS), ("os.setpriority", REFUSED, ALLOWED),
    ("os.sched_setscheduler", REFUSED, ALLOWED), ("os.kill", REFUSED, ALLOWED), ("signal.pidfd_send_signal", REFUSED, STRICT),
    ("/proc/mem", REFUSED, HARMLESS), ("/proc/oom_score_adj", REFUSED, HARMLESS), ("/proc/environ", REFUSED, ALLOWED),
]


def cell(words, setting):
    """What a cell says of a setting; a server of root's with nothing said has users for its workers, too."""
    if isinstance(words, str):
        return words
    return words[SETTINGS.index("users" if setting == "root" else setting)]


def fits(answer, expected):
    """Whether an answer is what the table says."""
    if expected == HARMLESS:
        return True
    if expected == ALLOWED:
        return answer == "ok" or answer.startswith("ok ")
    return answer in REFUSALS or answer in ABSENCES


def markdown():
    """The tables of docs/internals/faults.md, by the names of their markers."""
    calls = [(call.name, (text_of(call.server), text_of(call.sibling), text_of(call.itself), call.means)) for call in CALLS]
    files = [(prefix + entry.name, ("write" if entry.mode == "w" else "read", text_of(entry.server), text_of(entry.itself),
                                    entry.means))
             for prefix, entries in (("", FILES), ("task/TID/", THREAD_FILES)) for entry in entries]
    machine = [(entry.name, (text_of((entry.default, entry.hardened, entry.users)), entry.means)) for entry in MACHINE]
    objects = [(name, (text_of((entry.default, entry.hardened, entry.users)), entry.means))
               for entry in OBJECTS for name in entry.attacks]
    sockets = [(entry.name, (entry.connect, entry.none, entry.strict)) for entry in SOCKETS]
    limits = [(entry.name, (entry.means,)) for entry in LIMITS]
    return {
        "calls": table("call", "dispatcher, spawner", "another worker", "itself", "refused by", rows=calls),
        "files": table("file in /proc/PID", "to", "dispatcher, spawner, another worker", "itself", "refused by", rows=files),
        "machine": table("attack", "told", "by", rows=machine),
        "objects": table("attack", "told", "by", rows=objects),
        "sockets": table("way", "`--allow-connect` of another port", "`--network none`", "`--seccomp strict`", rows=sockets),
        "limits": table("what is taken", "why nobody else notices", rows=limits),
    }


def table(*heads, rows):
    """One line for all names of which the same is said, at the place of the first."""
    names_by_cells = {}
    for name, cells in rows:
        names_by_cells.setdefault(cells, []).append(f"`{name}`")
    lines = [f"| {', '.join(names)} | {' | '.join(cells)} |" for cells, names in names_by_cells.items()]
    return "\n".join(["| " + " | ".join(heads) + " |", "|" + "---|" * len(heads), *lines])


def text_of(words):
    """One word, or what is different when hardened, and with users."""
    if isinstance(words, str):
        return words or "-"
    if len(set(words)) == 1:
        return words[0]
    more = [f"{word} {name}" for word, name in zip(words[1:], ("hardened", "with users")) if word != words[0]]
    return f"{words[0]}; " + ", ".join(more)


def filled(text):
    """The page with these tables between their markers."""
    for name, rows in markdown().items():
        pattern = re.compile(rf"(<!-- hostile: {name} -->\n)(?:(?!<!--).*\n)*(<!-- hostile: end -->)")
        text, count = pattern.subn(lambda match, rows=rows: match[1] + rows + "\n" + match[2], text)
        assert count == 1, f"the page has {count} places for the table '{name}'"
    return text


def write_page(path):
    with open(path, encoding="utf-8") as file:
        text = file.read()
    with open(path, "w", encoding="utf-8") as file:
        file.write(filled(text))
