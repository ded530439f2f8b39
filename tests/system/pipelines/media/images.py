# SPDX-License-Identifier: MIT
"""images - pictures become text, other pictures, and streams of pictures, by PIL in a model's place."""

import base64
import io
import tempfile
import time
import typing as t
from pathlib import Path

from PIL import Image, ImageColor, ImageFilter, ImageOps

from pipeline import File, Pipeline, Variable, entity, pipe
from pipeline.objects.graph import InputField, InputSchema, Stream

SIDE = 32
FOLDER = Path(tempfile.gettempdir())


class Settings(InputSchema):
    count: int | None = InputField(title="count", default=1, ge=1, le=4, optional=True)
    height: int | None = InputField(title="height", default=SIDE, multiple_of=8, ge=8, le=1024, optional=True)
    steps: int | None = InputField(title="steps", default=4, ge=1, le=100, optional=True)
    pace_s: float | None = InputField(title="pace_s", default=0.0, ge=0, optional=True)
    strength: float | None = InputField(title="strength", default=0.5, ge=0.0, le=1.0, optional=True)
    source_image: File | None = InputField(title="source_image", optional=True, default=None)


def stored(images):
    files = []
    for number, image in enumerate(images):
        path = FOLDER / f"{number}.png"
        image.save(str(path))
        files.append(File(path=path, allow_out_of_context_creation=True))
    return files


@entity
class Painter:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        self.mode = "RGB"

    @pipe
    def caption(self, image: File) -> str:
        opened = Image.open(str(image.path)).convert("RGB")
        names = {name: ImageColor.getrgb(name) for name in ("red", "green", "blue", "black", "white")}
        middle = opened.resize((1, 1)).getpixel((0, 0))
        name = min(names, key=lambda name: sum((a - b) ** 2 for a, b in zip(names[name], middle)))
        return f"a {name} picture, {opened.width} by {opened.height}"

    @pipe
    def sketch(self, image: File, prompt: str, kwargs: Settings) -> list[File]:
        edges = ImageOps.grayscale(Image.open(image.path)).filter(ImageFilter.FIND_EDGES)
        return stored([ImageOps.colorize(edges, black="black", white=prompt)] * kwargs.count)

    @pipe
    def predict(self, prompt: str, kwargs: Settings) -> t.List[Image.Image]:
        picture = Image.new(self.mode, (SIDE, kwargs.height), prompt)
        if kwargs.source_image is not None:
            source = Image.open(kwargs.source_image.path).convert(self.mode).resize(picture.size)
            picture = Image.blend(source, picture, kwargs.strength)
        return [picture] * kwargs.count

    @pipe
    def postprocess(self, images: t.List[Image.Image]) -> t.List[File]:
        return stored(images)

    def refine(self, prompt, kwargs):
        """One after the other, as they get better."""
        for step in range(kwargs.steps):
            time.sleep(kwargs.pace_s)
            image = Image.blend(Image.effect_noise((SIDE, kwargs.height), 64).convert("RGB"),
                                Image.new("RGB", (SIDE, kwargs.height), prompt), (step + 1) / kwargs.steps)
            buffer = io.BytesIO()
            image.save(buffer, format="PNG")
            yield step, buffer

    @pipe
    def texts(self, prompt: str, kwargs: Settings) -> Stream[list[str]]:
        return Stream([base64.b64encode(buffer.getvalue()).decode()] * kwargs.count
                      for _, buffer in self.refine(prompt, kwargs))

    @pipe
    def files(self, prompt: str, kwargs: Settings) -> Stream[File]:
        def each():
            for step, buffer in self.refine(prompt, kwargs):
                path = FOLDER / f"step-{step}.png"
                path.write_bytes(buffer.getvalue())
                yield File(path=path, allow_out_of_context_creation=True)
        return Stream(each())


with Pipeline() as builder:
    image = Variable(File, title="Image File")
    builder.output(Painter().caption(image))

caption = builder.get_pipeline()

with Pipeline() as builder:
    image = Variable(File, title="Image", description="What is sketched")
    prompt = Variable(str, title="Prompt")
    kwargs = Variable(Settings)
    builder.output(Painter().sketch(image, prompt, kwargs))

sketch = builder.get_pipeline()

with Pipeline() as builder:
    prompt = Variable(str, title="Prompt")
    kwargs = Variable(Settings)
    painter = Painter()
    painter.load()
    output: t.List[File] = painter.postprocess(painter.predict(prompt, kwargs))
    builder.output(output)

paint = builder.get_pipeline()


def streamed(how):
    with Pipeline() as builder:
        prompt = Variable(str, title="Prompt")
        kwargs = Variable(Settings)
        builder.output(how(Painter(), prompt, kwargs))
    return builder.get_pipeline()


frames_as_texts = streamed(lambda painter, prompt, kwargs: painter.texts(prompt, kwargs))
frames_as_files = streamed(lambda painter, prompt, kwargs: painter.files(prompt, kwargs))
