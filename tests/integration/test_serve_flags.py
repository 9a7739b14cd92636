"""`steeple serve` with the flags that a user of vLLM types."""

import pytest

from steeple_demo import model_dir
from tests.support.command import Serving, steeple
from tests.support.ports import free_port


def test_a_line_written_for_vllm_serves() -> None:
    """Model as an argument, underscores, its names, its sizes."""
    serving = Serving(
        *(str(model_dir()), "--served-model-name", "four"),
        *("--tensor-parallel-size", "1", "--max_model_len", "0.25K", "--max-num-seqs=2"),
        *("--kv-cache-memory-bytes", "64MiB", "--dtype", "float", "--enable-prefix-caching"),
        *("--enforce-eager", "--enable-chunked-prefill", "--load-format=safetensors"),
    )
    line = serving.line()
    status, stderr = serving.stop()
    assert line == (
        f"serving four (GraniteForCausalLM, float32) on {serving.target}: KV cache of 512 tokens,"
        " at most 2 requests of 256 tokens at once\n"
    )
    assert (status, stderr) == (0, "")


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["--api-key=s3cret"], "error: --api-key: a key on the command line"),
        (["--tensor-parallel-size=2"], "error: --tensor-parallel-size 2: it can only be 1"),
        (["--gpu-memory-utilization=7"], "error: --gpu-memory-utilization: Input should be"),
        (["--max-model-len=four"], "error: --max-model-len: 'four' is not a number: write 4096"),
        (["a", "--model=b"], "error: two models are named, a and --model b: drop one"),
    ],
)
def test_what_cannot_be_followed_is_one_line(arguments: list[str], told: str) -> None:
    """In the words that were typed; status 2."""
    done = steeple("serve", f"--port={free_port()}", *arguments)
    assert (done.returncode, done.stdout) == (2, "")
    assert done.stderr.startswith(told)
    assert done.stderr.count("\n") == 1
