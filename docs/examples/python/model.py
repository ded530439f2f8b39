# SPDX-License-Identifier: MIT
"""model.py - a small language model that writes text letter by letter, loaded once in each worker.

    apt-get install python3-numpy
    millrace serve model.py:writer
    curl -N http://127.0.0.1:8080/v4/runs/stream -H 'Content-Type: application/json' \
         -d '{"inputs":[{"type":"string","value":"the "},{"type":"dictionary","value":{"max_tokens":40}}]}'

An echo state network: a recurrent network whose inner weights are random and stay so, and whose readout is
fitted to a text by least squares. The weights are made here from a fixed seed when a worker starts, which
takes a fraction of a second; a real pipeline would read them from a file there. Each letter is sent when it
is computed, and a client that goes away ends the computation at the next one.
"""

import numpy

from pipeline import Pipeline, Variable, entity, pipe
from pipeline.objects.graph import InputField, InputSchema, Stream

TEXT = ("the mill turns when the water runs. the water runs down to the mill. the race brings the water to the "
        "wheel, and the wheel turns the stone. the stone turns slowly. the miller waits for the rain. ")
SEED = 20
STATE_SIZE = 400
LEAK = 0.7
RIDGE = 0.1
NOISE = 0.03
WARM_UP = 20


class Settings(InputSchema):
    max_tokens: int = InputField(default=60, gt=0, le=10_000, description="letters to write")
    temperature: float = InputField(default=0.0, ge=0, le=2, description="0: always the likeliest letter")
    seed: int = InputField(default=0, ge=0, description="of the choice of letters")


@entity
class Writer:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        random = numpy.random.default_rng(SEED)
        self.letters = sorted(set(TEXT))
        self.index = {letter: index for index, letter in enumerate(self.letters)}
        self.inward = random.uniform(-1, 1, (STATE_SIZE, len(self.letters)))
        # The largest eigenvalue is then near 0.8: below 1, so that what was read long ago fades.
        self.inner = random.normal(0, 0.8 / STATE_SIZE ** 0.5, (STATE_SIZE, STATE_SIZE))
        self.readout = self.fit(TEXT * 6, random)

    def fit(self, text, random):
        """The weights that tell the next letter from the state, by ridge regression. With a little noise, so
        that they also know their way back from states that the text does not lead to."""
        state, states = numpy.zeros(STATE_SIZE), []
        for letter in text[:-1]:
            state = self.step(state, letter) + random.normal(0, NOISE, STATE_SIZE)
            states.append(state)
        known = numpy.array(states[WARM_UP:])
        wanted = numpy.eye(len(self.letters))[[self.index[letter] for letter in text[WARM_UP + 1:]]]
        return numpy.linalg.solve(known.T @ known + RIDGE * numpy.eye(STATE_SIZE), known.T @ wanted)

    def step(self, state, letter):
        pressure = self.inner @ state + self.inward[:, self.index[letter]]
        return (1 - LEAK) * state + LEAK * numpy.tanh(pressure)

    @pipe
    def write(self, prompt: str, settings: Settings) -> Stream:
        return Stream(self.tokens(prompt, settings))

    def tokens(self, prompt, settings):
        random = numpy.random.default_rng(settings.seed)
        state = numpy.zeros(STATE_SIZE)
        for letter in TEXT + prompt.lower():
            if letter in self.index:  # others it has never seen
                state = self.step(state, letter)
        for _ in range(settings.max_tokens):
            letter = self.letters[self.choose(state @ self.readout, settings.temperature, random)]
            yield letter
            state = self.step(state, letter)

    def choose(self, scores, temperature, random):
        if temperature == 0:
            return int(scores.argmax())
        odds = numpy.exp((scores - scores.max()) * 10 / temperature)
        return int(random.choice(len(odds), p=odds / odds.sum()))


with Pipeline() as builder:
    prompt = Variable(str, title="prompt", examples=["the "])
    settings = Variable(Settings, title="settings", default=Settings())
    model = Writer()
    model.load()
    builder.output(model.write(prompt, settings))

writer = builder.get_pipeline()
