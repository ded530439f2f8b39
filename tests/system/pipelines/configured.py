# SPDX-License-Identifier: MIT
"""configured - a pipeline whose author has ideas of their own about logging."""

import logging
import logging.config
import logging.handlers
import queue
import sys
import threading
import warnings

from pipeline import Pipeline, pipe
from pipeline.objects.graph import Stream, Variable

logger = logging.getLogger("mine")


class Printing(logging.Handler):
    """Writes a record in two pieces, and what it was asked to in between."""

    def __init__(self, between=lambda: None):
        super().__init__()
        self.between = between

    def emit(self, record):
        sys.stderr.write(self.format(record))
        self.between()
        sys.stderr.write("!\n")


class Raising(logging.Handler):
    def emit(self, record):
        raise RuntimeError("a handler that fails")


class Message(str):
    """A text as loguru's handlers write it."""

    def __new__(cls, text, number):
        self = super().__new__(cls, text)
        self.record = {"level": type("Level", (), {"no": number})}
        return self


def use(handler, level=logging.DEBUG):
    logging.basicConfig(level=level, handlers=[handler], format="%(message)s", force=True)


def say_all():
    for level in (logging.DEBUG, logging.INFO, 25, logging.WARNING, logging.ERROR, logging.CRITICAL):
        logger.log(level, "level %d", level)


def say_by_dictionary():
    logging.config.dictConfig({
        "version": 1, "formatters": {"mine": {"format": "%(asctime)s [%(levelname)s] %(message)s"}},
        "handlers": {"out": {"class": "logging.StreamHandler", "stream": "ext://sys.stdout", "formatter": "mine"}},
        "root": {"handlers": ["out"], "level": "DEBUG"}, "disable_existing_loggers": False})
    say_all()


def say_by_queue():
    records = queue.Queue()
    use(logging.handlers.QueueHandler(records))
    listener = logging.handlers.QueueListener(records, logging.StreamHandler())
    listener.start()
    say_all()
    listener.stop()


def say_by_memory():
    """The records are written while one of another level is at hand."""
    use(logging.handlers.MemoryHandler(100, logging.CRITICAL, logging.StreamHandler()))
    say_all()


def say_beside_a_thread():
    def between():
        thread = threading.Thread(target=print, args=("of a thread", ))
        thread.start()
        thread.join()
    use(Printing(between))
    logger.error("of a handler")


def say_after_a_handler_that_raises():
    use(Raising())
    try:
        logger.error("lost")
    except RuntimeError as error:
        print(error, file=sys.stderr)
    use(Printing(lambda: logger.debug("inner") if sys.stderr.partial else None), logging.INFO)
    logger.error("outer")
    print("after it", file=sys.stderr)


def say_behind_half_a_line():
    use(logging.StreamHandler())
    print("half", end="", file=sys.stderr)
    logger.error("whole")


def say_lines():
    use(logging.StreamHandler())
    try:
        raise KeyError("lines")
    except KeyError:
        logger.exception("of several")


def say_by_loguru():
    sys.stderr.write(Message("careful\n", 40))
    sys.stderr.write(Message("chatty\n", 10))
    sys.stderr.write(type("Odd", (str, ), {"record": {"level": None}})("odd\n"))


def say_basically():
    logging.basicConfig(level=logging.INFO, force=True)
    say_all()


WAYS = {"basic": say_basically, "dictionary": say_by_dictionary, "queue": say_by_queue, "memory": say_by_memory,
        "thread": say_beside_a_thread, "raise": say_after_a_handler_that_raises, "half": say_behind_half_a_line,
        "lines": say_lines, "loguru": say_by_loguru,
        "warn": lambda: warnings.warn("of warnings"), "print": lambda: print("ERROR: only a text")}


@pipe
def say(how: str) -> Stream:
    WAYS[how]()
    yield how


with Pipeline() as builder:
    builder.output(say(Variable(str)))
says = builder.get_pipeline()
