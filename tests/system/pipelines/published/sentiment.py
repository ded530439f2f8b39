# SPDX-License-Identifier: MIT
"""sentiment - three pipes one after the other, with a graph that is tried when the file is run."""

import numpy as np
from transformers import AutoConfig

from pipeline import Pipeline, Variable, entity, pipe

LABELS = ("negative", "positive")


@entity
class Classifier:
    @pipe(run_once=True, on_startup=True)
    def load(self) -> None:
        self.config = AutoConfig.from_pretrained("words")

    @pipe
    def preprocess(self, text: str) -> str:
        return " ".join("@user" if word.startswith("@") else word for word in text.split())

    @pipe
    def predict(self, text: str) -> list[float]:
        assert np and self.config
        return [text.count("no") / 4, text.count("yes") / 4]

    @pipe
    def postprocess(self, scores: list[float]) -> list[dict[str, float]]:
        return [{label: score} for label, score in sorted(zip(LABELS, scores), key=lambda pair: -pair[1])]


with Pipeline() as builder:
    text = Variable(str, title="text", description="What was said", max_length=280)
    classifier = Classifier()
    classifier.load()
    builder.output(classifier.postprocess(classifier.predict(classifier.preprocess(text))))

sentiment = builder.get_pipeline()
