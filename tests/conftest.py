"""What all tests share: how many examples Hypothesis draws, and that none has a time limit."""

from hypothesis import settings

LONG_FACTOR = 20

# The cores are shared: an example may stand still for longer than any limit for one.
UNHURRIED = settings(deadline=None)

settings.register_profile("unhurried", UNHURRIED)
settings.register_profile("long", UNHURRIED, max_examples=LONG_FACTOR * UNHURRIED.max_examples)
settings.load_profile("unhurried")
