import time
from pipeline import Pipeline, pipe
from pipeline.objects.graph import Stream, Variable

@pipe
def streamer(input_data: str) -> Stream:
    def iter_output(data):
        for word in data.split():
            time.sleep(0.1)
            yield word + " "
    return Stream(iter_output(input_data))

with Pipeline() as builder:
    in_1 = Variable(str)
    result = streamer(in_1)
    builder.output(result)

my_pipeline = builder.get_pipeline()
