"""What all tests share: Ctrl-C, and what Hypothesis draws: no example has a time limit."""

import signal

from hypothesis import settings

LONG_FACTOR = 20

# The cores are shared: an example may stand still for longer than any limit for one.
LONG = settings(deadline=None, max_examples=LONG_FACTOR * settings().max_examples)

settings.register_profile("long", LONG)
# The same examples in every run: what fails fails for everybody. The long profile looks for more.
settings.register_profile("usual", deadline=None, derandomize=True)
settings.load_profile("usual")

if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    # A shell's background job ignores Ctrl-C, and so would every process that a test starts.
    signal.signal(signal.SIGINT, signal.default_int_handler)
