"""The timeline of `steeple plan`, as docs/scheduling.md tells how it was made."""

import subprocess
import sys
from pathlib import Path

ARGUMENTS = (
    *("--scheduler", "continuous,static,spyre_continuous,spyre_chunked"),
    *("--max-model-len", "2048", "--max-num-seqs", "16", "--max-num-batched-tokens", "256"),
    *("--max-batch-tkv", "8192", "--warmup-shapes", "512:256:16,1792:256:4"),
    *("--rate", "4", "--seed", "1", "--prompt-lens", "lognormal:250:0.8"),
    *("--output-lens", "lognormal:80:0.7", "--max-tokens", "256"),
)
NUM_REQUESTS = "40"


def draw(path: Path) -> None:
    """Write it as PNG.

    Raises:
        CalledProcessError: the plan was refused; it has told why.
    """
    plan = (sys.executable, "-m", "steeple_cli", "plan", *ARGUMENTS, "--requests", NUM_REQUESTS)
    subprocess.run([*plan, "--timeline", str(path)], check=True)  # noqa: S603 - ours
