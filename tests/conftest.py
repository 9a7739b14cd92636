"""What all tests share: Ctrl-C, and how many examples Hypothesis draws, none with a time limit."""

import signal

from hypothesis import settings

LONG_FACTOR = 20

# The cores are shared: an example may stand still for longer than any limit for one.
UNHURRIED = settings(deadline=None)

settings.register_profile("unhurried", UNHURRIED)
settings.register_profile("long", UNHURRIED, max_examples=LONG_FACTOR * UNHURRIED.max_examples)
settings.load_profile("unhurried")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
