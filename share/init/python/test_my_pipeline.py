"""Runs the pipeline without a server: python3 test_my_pipeline.py, or pytest."""

from my_pipeline import my_pipeline


def test_words_come_one_by_one():
    (words,) = my_pipeline.run("hello there")
    assert list(words) == ["hello ", "there "]


def test_a_text_without_words_gives_nothing():
    (words,) = my_pipeline.run("  ")
    assert list(words) == []


if __name__ == "__main__":
    test_words_come_one_by_one()
    test_a_text_without_words_gives_nothing()
    print("all tests passed")
