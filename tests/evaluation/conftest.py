"""Property tests draw the same few examples every time: a red test stays red, and soon."""

from hypothesis import settings

settings.register_profile(
    "evaluation", derandomize=True, database=None, deadline=None, max_examples=40
)
settings.load_profile("evaluation")
