"""my_pipeline.py - the words of a text, as they come."""

from pipeline import Pipeline, pipe
from pipeline.objects.graph import Stream, Variable


@pipe
def words_of(text: str) -> Stream[str]:
    # Each value goes to the client when it is yielded: here the tokens of a model would come.
    return Stream(word + " " for word in text.split())


with Pipeline() as builder:
    text = Variable(str, title="text", description="what is cut into words")
    builder.output(words_of(text))

my_pipeline = builder.get_pipeline()
