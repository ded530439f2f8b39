# SPDX-License-Identifier: MIT
"""confined - a pipeline that does whatever its client says, and tells how far it came."""

import errno

from millrace_worker import _ring  # whoever has this has all that a worker has


class Variable:
    def __init__(self, word):
        self.type_word = word


class Graph:
    input_variables = [Variable("string")]
    output_variables = [Variable("string")]

    def run(self, code):
        """What the code leaves in `answer`, "ok" if nothing; or what was raised, of OSErrors the errno's name."""
        names = {"_ring": _ring}
        try:
            exec(code, names)
            return [str(names.get("answer", "ok"))]
        except OSError as error:
            return [errno.errorcode[error.errno]]
        except Exception as error:  # whatever it is, it is the answer
            return [type(error).__name__]


graph = Graph()
