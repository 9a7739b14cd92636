"""The `steeple` command: what its process does, whatever comes in its way."""

import io
import sys

from steeple_cli.conventions.exits import FAILED, INTERRUPTED


def main() -> None:
    """Run the command line."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A locale that lacks a character of an answer or a table shows a question mark.
        sys.stdout.reconfigure(errors="replace")
    try:
        # Here, so that a Ctrl-C meanwhile ends like any other.
        from steeple_cli.app import app  # noqa: PLC0415

        app()
    except KeyboardInterrupt:
        sys.exit(INTERRUPTED)
    except BrokenPipeError:
        # The reader of our output is gone; there is nobody to tell.
        sys.stderr.close()
        sys.exit(FAILED)


if __name__ == "__main__":
    main()
