# SPDX-License-Identifier: MIT
"""sounds - speech to text and back, of a language with a tone for each letter: a real computation in a model's place."""

import math
import struct
import tempfile
import wave
from typing import Tuple

from pipeline import File, Pipeline, Variable, entity, pipe
from pipeline.objects.graph import InputField, InputSchema

RATE = 8000
LETTER_SAMPLES = 400
BASE_HZ, STEP_HZ = 400, 100


class Settings(InputSchema):
    batch_size: int | None = InputField(title="batch_size", default=4, ge=1, le=64, optional=True)
    return_timestamps: bool | None = InputField(title="return_timestamps", default=False, optional=True)


def samples_of(path):
    with wave.open(str(path)) as sound:
        assert (sound.getframerate(), sound.getnchannels(), sound.getsampwidth()) == (RATE, 1, 2)
        count = sound.getnframes()
        return struct.unpack(f"<{count}h", sound.readframes(count))


def letter_of(samples):
    """By how often the tone crosses zero."""
    crossings = sum(before < 0 <= after for before, after in zip(samples, samples[1:]))
    return chr(ord("a") + round((crossings * RATE / len(samples) - BASE_HZ) / STEP_HZ))


@entity
class Listener:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        self.model = letter_of

    @pipe
    def predict(self, audio_file: File, kwargs: Settings) -> Tuple[str, list | None]:
        samples = samples_of(audio_file.path)
        parts = [samples[at:at + LETTER_SAMPLES] for at in range(0, len(samples), LETTER_SAMPLES)]
        letters = [self.model(part) for part in parts]
        times = [[number * LETTER_SAMPLES / RATE, letter] for number, letter in enumerate(letters)]
        return "".join(letters), times if kwargs.return_timestamps else None

    @pipe
    def describe(self, video: File) -> dict:
        samples = samples_of(video.path)
        return {"file": video.path.name, "seconds": len(samples) / RATE, "loudest": max(samples)}


@entity
class Speaker:
    @pipe
    def predict(self, prompt: str, pause: int) -> File:
        path = f"{tempfile.gettempdir()}/{prompt[:20]}.wav"
        with wave.open(path, "wb") as sound:
            sound.setparams((1, 2, RATE, 0, "NONE", ""))
            for letter in prompt:
                hertz = BASE_HZ + STEP_HZ * (ord(letter) - ord("a"))
                tone = (int(9000 * math.sin(2 * math.pi * hertz * (at + 0.5) / RATE)) for at in range(LETTER_SAMPLES))
                sound.writeframes(struct.pack(f"<{LETTER_SAMPLES}h", *tone))
            sound.writeframes(bytes(2 * pause))
        return File(path=path, allow_out_of_context_creation=True)


with Pipeline() as builder:
    audio_file = Variable(File)
    kwargs = Variable(Settings)
    listener = Listener()
    listener.load()
    full_text, timestamps = listener.predict(audio_file, kwargs)
    builder.output(full_text, timestamps)

speech = builder.get_pipeline()

with Pipeline() as builder:
    video = Variable(File, title="Video File", description="What is described")
    builder.output(Listener().describe(video))

description = builder.get_pipeline()

with Pipeline() as builder:
    prompt = Variable(str, title="Prompt", default="hello")
    pause = Variable(int, title="Pause", default=0, ge=0)
    builder.output(Speaker().predict(prompt, pause))

voice = builder.get_pipeline()
