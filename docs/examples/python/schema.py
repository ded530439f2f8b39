# SPDX-License-Identifier: MIT
"""schema.py - an input with many settings: an InputSchema, whose types and limits are enforced.

    millrace serve schema.py:generate
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"string","value":"to be or not to be"},
                        {"type":"dictionary","value":{"max_tokens":4,"mode":"shuffled","seed":1}}]}'

A setting that is wrong is an input_error, which names all that is wrong, before any pipe is called.
"""

import random
from typing import List, Optional

from pipeline import Pipeline, Variable, pipe
from pipeline.objects.graph import InputField, InputSchema, Stream


class Settings(InputSchema):
    max_tokens: int = InputField(default=16, gt=0, le=4096, description="how many words at most")
    mode: str = InputField(default="plain", choices=["plain", "shuffled", "reversed"])
    repetition: float = InputField(default=1.0, ge=1, lt=2, description="no effect at 1.0")
    stop_words: List[str] = InputField(default=[], max_length=4, description="each ends the text")
    seed: Optional[int] = InputField(default=None, ge=0)


@pipe
def generate_words(prompt: str, settings: Settings) -> Stream:
    # `settings` is an instance, also when a client sent a dictionary or nothing.
    words = prompt.split()
    if settings.mode == "shuffled":
        random.Random(settings.seed).shuffle(words)
    elif settings.mode == "reversed":
        words.reverse()

    def each():
        for word in words[:settings.max_tokens]:
            if word in settings.stop_words:
                return
            yield word
            if settings.repetition > 1.5:
                yield word

    return Stream(each())


with Pipeline() as builder:
    prompt = Variable(str, title="prompt", min_length=1)
    settings = Variable(Settings, title="settings", default=Settings())
    builder.output(generate_words(prompt, settings))

generate = builder.get_pipeline()
