"""What all tests share: how many examples Hypothesis draws."""

from hypothesis import settings

LONG_FACTOR = 20

settings.register_profile("long", max_examples=LONG_FACTOR * settings().max_examples)
