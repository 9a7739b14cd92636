"""The `steeple` command: what its process does, whatever comes in its way."""

import errno
import sys

from steeple_cli.conventions import streams
from steeple_cli.conventions.exits import FAILED, INTERRUPTED

_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)


def main() -> None:
    """Run the command line."""
    streams.prepare()
    try:
        # Here, so that a Ctrl-C meanwhile ends like any other.
        from steeple_cli.app import app  # noqa: PLC0415

        try:
            app()
        finally:
            # Here, where a failure is still told.
            sys.stdout.flush()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output is gone; there is nobody to tell.
        streams.forget_output()
        sys.exit(FAILED)
    except OSError as error:
        if error.errno not in _NO_ROOM:
            raise
        streams.forget_output()
        sys.stderr.write(f"error: the output cannot be written: {error.strerror}\n")
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
