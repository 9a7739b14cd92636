"""Which Pythons this runs with. Read by others too: it must stay readable to all of them."""

import sys

OLDEST = (3, 11)
"""The first version that it runs with."""
TOO_NEW = (3, 13)
"""The first version that it does not run with: ibm-fms does not."""
USAGE_ERROR = 2


def check_python() -> None:
    """End the process with one line and status 2 where this Python cannot run it."""
    version = sys.version_info[:2]
    if not OLDEST <= version < TOO_NEW:
        sys.stderr.write(
            "error: Python 3.11 or 3.12 is needed; this is {}.{} ({}): make an environment with"
            " one of them, as `python3.12 -m venv .venv` does\n".format(*version, sys.executable)
        )
        raise SystemExit(USAGE_ERROR)
