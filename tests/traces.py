"""`python -m tests.traces FILE [--only MODE/NAME]`: replay step traces through the policies.

Prints each difference as expected and got, by step; ends 1 if there is one, 2 if the file cannot
be replayed.
"""

import argparse
import sys
from pathlib import Path

from tests.support.trace_file import UnknownTrace
from tests.support.trace_replay import Replay
from tests.support.traces import Trace, read_traces


def main(arguments: list[str] | None = None) -> int:
    """Replay; the exit status."""
    parser = argparse.ArgumentParser(prog="python -m tests.traces", description=__doc__)
    parser.add_argument("file", type=Path)
    parser.add_argument("--only", metavar="MODE/NAME", help="one mode, or one trace of it")
    given = parser.parse_args(arguments)
    try:
        agreed = [
            _replayed(trace) for trace in read_traces(given.file) if _is_wanted(trace, given.only)
        ]
    except (OSError, UnknownTrace) as error:
        sys.stderr.write(f"error: {given.file}: {error}\n")
        return 2
    if not agreed:
        sys.stderr.write(f"error: --only {given.only}: the file has no such trace\n")
        return 2
    sys.stdout.write(f"{sum(agreed)} of {len(agreed)} traces agree\n")
    return 0 if all(agreed) else 1


def _is_wanted(trace: Trace, only: str | None) -> bool:
    return only is None or only in {trace.title, trace.mode}


def _replayed(trace: Trace) -> bool:
    mismatches = [f"  {mismatch}\n" for mismatch in Replay(trace).mismatches()]
    sys.stdout.write(f"{trace.title}: {'differs' if mismatches else 'agrees'}\n")
    sys.stdout.writelines(mismatches)
    return not mismatches


if __name__ == "__main__":
    sys.exit(main())
