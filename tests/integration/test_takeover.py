"""Under `steeple serve` a stream outlives any one of the services behind the gateway."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest

from steeple_client import Client, TextDelta, Usage
from tests.support.ports import free_port
from tests.support.processes import runs

ROOT = Path(__file__).resolve().parents[2]
TIMEOUT_S = 90.0
NUM_TOKENS = 400


@pytest.fixture(scope="module")
def served() -> Iterator[tuple[str, psutil.Process]]:
    """Where the demo model is served, and the process that keeps the services alive."""
    target = f"127.0.0.1:{free_port()}"
    paths = os.pathsep.join([str(ROOT), str(ROOT / "protos")])
    serve = [sys.executable, "-m", "steeple_cli", "serve", f"--port={target.rpartition(':')[2]}"]
    with subprocess.Popen(
        [*serve, "--grace=5", "--num-threads=1"],
        env={**os.environ, "PYTHONPATH": paths},
        stdin=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    ) as process:
        try:
            with Client(target) as client:
                client.wait_until_ready(TIMEOUT_S)
            yield target, psutil.Process(process.pid)
        finally:
            process.terminate()


def _kill(above: psutil.Process, module: str) -> None:
    for child in above.children(recursive=True):
        if runs(child, module):
            child.send_signal(signal.SIGKILL)
            return
    pytest.fail(f"no process runs {module}")


@pytest.mark.parametrize("module", ["engine_svc", "engine_svc.core", "tokenizer_svc"])
def test_a_stream_goes_on_when_a_service_is_killed(
    served: tuple[str, psutil.Process], module: str
) -> None:
    """The demo model, sampled: text and count are those of the stream that nothing cut."""
    target, above = served
    with Client(target) as client:
        options = {"max_tokens": NUM_TOKENS, "seed": 5, "temperature": 1.0, "ignore_eos": True}
        whole = client.generate("Once upon a time", **options)  # type: ignore[arg-type] # by name
        texts: list[str] = []
        usage = None
        for event in client.generate_stream("Once upon a time", **options):  # type: ignore[arg-type] # by name
            if isinstance(event, TextDelta):
                if not texts:
                    _kill(above, module)
                texts.append(event.text)
            usage = event if isinstance(event, Usage) else usage
        assert "".join(texts) == whole.text
        assert usage is not None
        assert usage.num_completion_tokens == NUM_TOKENS
