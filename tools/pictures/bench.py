"""The chart of `steeple bench`, as docs/benchmarking.md tells how it was made."""

import subprocess
import sys
from pathlib import Path

from steeple_demo import model_dir
from tests.support.deployment import Deployment

ARGUMENTS = (
    *("--concurrency", "1,2,4,8,16,32", "--duration", "8"),
    *("--prompt-lens", "lognormal:100:0.5", "--output-lens", "lognormal:60:0.5"),
    *("--ttft-bound", "0.2", "--itl-bound", "0.02"),
)


def draw(path: Path) -> None:
    """Write it as PNG; takes a minute and a half.

    Raises:
        CalledProcessError: the bench failed; it has told why.
    """
    with Deployment(model_dir(), engine=["--num-threads=1"]) as deployment:
        bench = (sys.executable, "-m", "steeple_cli", "bench", "--target", deployment.target)
        subprocess.run([*bench, *ARGUMENTS, "--chart", str(path)], check=True)  # noqa: S603 - ours
