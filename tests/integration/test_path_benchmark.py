"""The benchmark that docs/performance.md quotes runs as it is told there."""

import re
import subprocess
import sys

from tests.support.deployment import ROOT


def test_the_benchmark_of_the_path_tells_rates_cpu_times_and_latencies() -> None:
    command = [sys.executable, "-m", "benchmarks.path"]
    small = ["--streams", "2", "--tokens", "40", "--rounds", "1"]
    done = subprocess.run([*command, *small], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert re.search(r"2 streams: +[1-9]\d* tokens/s", done.stdout)
    for process in ("gateway", "tokenizer", "engine front", "engine core", "client"):
        assert re.search(rf"{process} \d+\.\d", done.stdout)
    assert re.search(r"between tokens (\d+\.\d\d|nan) ms", done.stdout)
