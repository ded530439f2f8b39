# SPDX-License-Identifier: MIT
"""__main__ - python -m millrace_worker: executes one pipeline for one dispatcher.

    options -> attach -> log -> load -> HELLO -> start up -> READY -> runs -> exit

With --preload it is a template, of which each copy goes on from HELLO (_template.py).

Started by millrace serve alone. What goes wrong before READY is said in a FAILED message.
"""

from __future__ import annotations

import argparse
import faulthandler
import os
import runpy
import signal
import sys
from typing import Any, NamedTuple, NoReturn

from millrace_worker import (_batched_pipe, _engine_host, _failure, _host, _log, _progress, _ring, _source, _template,
                             _variables)

# Nobody else uses the last ones; that between these two is the dispatcher's, WORKER_SIGNAL_WHERE of
# include/millrace/protocol.h.
TRACE_SIGNAL = signal.SIGRTMAX
TRACE_ALL_SIGNAL = signal.SIGRTMAX - 2


class Loaded(NamedTuple):
    """A pipeline, and what HELLO says of it."""

    graph: Any
    name: str
    inputs: list[dict[str, Any]]
    outputs: list[str]


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="millrace_worker", description="Started by millrace serve.")
    parser.add_argument("--source", required=True)
    parser.add_argument("--folder")
    parser.add_argument("--needs")
    parser.add_argument("--name")
    parser.add_argument("--pointer", default="")
    parser.add_argument("--index", type=int, default=0)
    parser.add_argument("--threads", action="store_true")
    parser.add_argument("--batch-max", type=int, default=32)
    parser.add_argument("--batch-wait", type=int, default=2)
    parser.add_argument("--batch-asked", action="store_true")
    parser.add_argument("--strict", action="store_true")
    parser.add_argument("--check", action="store_true")
    parser.add_argument("--preload", choices=["none", "import", "startup"], default="none")
    parser.add_argument("--parent", type=int, default=0)
    parser.add_argument("--confine")
    return parser.parse_args()


def step_back_in_path() -> None:
    """What PYTHONPATH put before the site-packages goes behind them: a `pipeline` that the user has
    installed is the one that is meant."""
    own = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
    others = [entry for entry in sys.path if os.path.abspath(entry or ".") != own]
    sys.path[:] = others + [own]


def report_crashes(has_threads: bool) -> tuple[int, int]:
    """A crash's report has the Python frames too: the handler of fatal signals raises this one. So has that
    of a worker that hangs; where runs have threads, the one that got the signal is not the one that hangs. The ends of the pipe that these use."""
    reading, writing = os.pipe2(os.O_NONBLOCK | os.O_CLOEXEC)
    faulthandler.register(TRACE_SIGNAL, file=writing, all_threads=False, chain=False)
    faulthandler.register(TRACE_ALL_SIGNAL, file=writing, all_threads=True, chain=False)
    _ring.fatal_signal_ask(TRACE_SIGNAL, TRACE_ALL_SIGNAL if has_threads else TRACE_SIGNAL, reading)
    leave_out("<frozen importlib", "<frozen runpy", runpy.__file__, *_failure.own_folders())
    return reading, writing


def leave_out(*files: str) -> None:
    """Frames of these are in no report."""
    for file in files:
        _ring.fatal_signal_leave_out(os.fsencode(file))


def fail(code: int, exception: BaseException) -> NoReturn:
    """Says in a FAILED message why there will be no READY, and ends the process."""
    _log.flush_all()
    kind, message, traceback = _failure.describe(exception)
    # Whatever the kind of the exception, what failed is the start.
    if kind == _failure.PIPELINE:
        kind = _failure.STARTUP
    _ring.fail(code, (kind, message, traceback))


def load(arguments: argparse.Namespace) -> Loaded:
    """The pipeline, after HELLO was sent."""
    try:
        if arguments.needs is not None:
            from millrace_worker import _needs  # what it imports takes time

            _needs.check(arguments.needs)
        name, graph = _source.load(arguments.source, arguments.name, arguments.folder)
        inputs, outputs = _variables.describe(graph)
        _engine_host.check(graph, outputs)
        leave_out(*_failure.own_folders()[1:])  # known by now
        _ring.hello(name, inputs, outputs)
        return Loaded(graph, name, inputs, outputs)
    except BaseException as exception:  # SystemExit too: whatever the module does, it did not load
        fail(_ring.EXIT_LOAD, exception)


def start_up(host: _host.Host, preload: bool, rest: bool) -> None:
    """Runs the startup hooks: those that may run in a template, and the rest."""
    try:
        if preload:
            _template.preload(host.graph)
        if rest:
            host.start_up()
    except BaseException as exception:
        fail(_ring.EXIT_STARTUP, exception)


def be_template(arguments: argparse.Namespace, loaded: Loaded, host: _host.Host, fds: tuple[int, int]) -> None:
    """Returns in each copy, which has said HELLO."""
    start_up(host, True, arguments.preload == "startup")
    try:
        index = _template.serve(arguments.parent, arguments.confine, fds)
    except _template.Unforkable as exception:
        fail(_ring.EXIT_UNFORKABLE, exception)
    for fd in fds:
        os.close(fd)
    os.environ["MILLRACE_WORKER_INDEX"] = str(index)
    report_crashes(arguments.threads)
    _ring.hello(loaded.name, loaded.inputs, loaded.outputs)


def doubt_batches(arguments: argparse.Namespace, graph: Any) -> None:
    """Says in the log what is wrong with the options. Of the first worker: the others would say the same."""
    find = getattr(graph, "_batched", None)
    doubt = _ring.batch_doubt(arguments.batch_max, callable(find) and bool(find()), arguments.batch_asked)
    if doubt is not None and os.environ["MILLRACE_WORKER_INDEX"] == "0":
        _log.send(_log.WARNING, doubt, None, 2)


def main() -> None:
    arguments = parse_arguments()
    _ring.attach(arguments.index, arguments.strict)
    if arguments.preload == "none":
        # For code that chooses a device by it; os.environ does not see what C code has set.
        os.environ["MILLRACE_WORKER_INDEX"] = str(arguments.index)
    else:
        os.unsetenv("MILLRACE_WORKER_INDEX")  # it would be that of one worker in all
    sys.argv = [arguments.source]
    # Signals end the process as they end any other; the dispatcher handles Ctrl-C on the terminal.
    signal.signal(signal.SIGINT, signal.SIG_DFL)
    fds = report_crashes(arguments.threads)
    os.register_at_fork(after_in_child=_ring.forget)
    step_back_in_path()
    _log.capture()
    loaded = load(arguments)
    if not arguments.check:
        limits = _batched_pipe.Limits(arguments.batch_max, arguments.batch_wait)
        host = _host.Host(loaded.graph, len(loaded.outputs), arguments.threads, limits)
        if arguments.preload != "none":
            be_template(arguments, loaded, host, fds)
        start_up(host, arguments.preload == "none", arguments.preload != "startup")
        _progress.end()
        doubt_batches(arguments, loaded.graph)
        host.serve()
    _log.flush_all()


if __name__ == "__main__":
    main()
