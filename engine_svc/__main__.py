"""`python -m engine_svc`: the service, where its extra is installed."""

import sys

from steeple_rpc.extras import missing_extra
from steeple_rpc.settings import USAGE_ERROR


def main() -> int:
    """Run the service; the exit status."""
    hindrance = missing_extra("engine", needed_by="the engine service")
    if hindrance is not None:
        sys.stderr.write(f"error: {hindrance}\n")
        return USAGE_ERROR
    from engine_svc.process import run  # noqa: PLC0415 - it imports what the extra brings

    return run()


if __name__ == "__main__":
    sys.exit(main())
