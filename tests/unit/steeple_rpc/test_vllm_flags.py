"""What becomes of vLLM's flags."""

import pytest

from engine_svc.settings import EngineSettings
from gateway.settings import GatewaySettings
from steeple_cli.serving.options import OPTIONS
from steeple_rpc.refused import SettingRefused
from steeple_rpc.settings import load_settings
from steeple_rpc.vllm_flags import VLLM_FLAGS, Needless, Refused, Renamed, as_typed, translated


@pytest.mark.parametrize(
    ("typed", "said"),
    [
        (["--gpu-memory-utilization=0.3"], ["--kv-cache-share=0.3"]),
        (["--gpu-memory-utilization", "0.3"], ["--kv-cache-share", "0.3"]),
        (["--gpu_memory_utilization", "0.3"], ["--kv-cache-share", "0.3"]),
        (["--max_model_len=32k"], ["--max-model-len=32k"]),
        (["--no-enable-prefix-caching"], ["--no-prefix-caching"]),
        (["-tp", "1", "--port=1"], ["--port=1"]),
        (["--tensor-parallel-size=1"], []),
        (["--enable-chunked-prefill", "a_b"], ["a_b"]),
        (["--model", "a_b", "--x=c_d"], ["--model", "a_b", "--x=c_d"]),
    ],
)
def test_a_flag_becomes_ours_or_nothing(typed: list[str], said: list[str]) -> None:
    assert translated(typed, own=set()) == said


@pytest.mark.parametrize(
    ("typed", "told"),
    [
        (["--tensor-parallel-size=2"], "--tensor-parallel-size 2: it can only be 1"),
        (["-tp", "2"], "-tp 2: it can only be 1: more than one device"),
        (["--load-format=pt"], "--load-format pt: it can only be auto or safetensors"),
        (["--api-key", "s3cret"], "steeple token new"),
        (["--trust-remote-code"], "--trust-remote-code: code that comes with a model is never run"),
        (["--seed=1"], "give the seed in the request"),
    ],
)
def test_what_cannot_be_followed_is_refused_with_the_remedy(typed: list[str], told: str) -> None:
    """Never with the key itself."""
    with pytest.raises(SettingRefused) as caught:
        translated(typed, own=set())
    assert told in str(caught.value)
    assert "s3cret" not in str(caught.value)


def test_a_flag_of_the_programs_own_stays_as_it_is() -> None:
    """The gateway's --tokenizer is an address."""
    settings = load_settings(GatewaySettings, ["--tokenizer=127.0.0.1:9"])
    assert settings.tokenizer == "127.0.0.1:9"


def test_every_new_name_is_an_option_of_serve() -> None:
    names = {f"--{name.replace('_', '-')}" for name in OPTIONS}
    for fate in VLLM_FLAGS.values():
        if isinstance(fate, Renamed):
            assert fate.ours.replace("--no-", "--") in names


def test_every_refusal_says_what_to_do() -> None:
    """After the colon; a value that can be refused has a reason unless the allowed ones say all."""
    for flag, fate in VLLM_FLAGS.items():
        if isinstance(fate, Refused):
            assert ": " in fate.why, flag
        if isinstance(fate, Needless):
            assert fate.values or not fate.otherwise, flag


def test_the_engine_takes_them_itself() -> None:
    """And vLLM's names of number formats, and of a context as long as fits."""
    settings = load_settings(
        EngineSettings,
        ["--model=/m", "--gpu_memory_utilization=0.5", "--dtype=half", "--max-model-len=auto"],
    )
    assert (settings.kv_cache_share, settings.dtype) == (0.5, "float16")
    assert settings.max_model_len is None


def test_a_fault_is_told_by_the_name_that_was_typed(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        load_settings(EngineSettings, ["--model=/m", "--gpu-memory-utilization=2"])
    assert capsys.readouterr().err.startswith("error: --gpu-memory-utilization: ")
    assert as_typed("raise --kv-cache-bytes", ["--port=1"]) == "raise --kv-cache-bytes"


@pytest.mark.parametrize("flag", ["--enable-chunked-prefill", "--enforce-eager"])
def test_a_switch_that_is_told_no_is_not_taken_for_a_yes(flag: str) -> None:
    with pytest.raises(SettingRefused, match=f"{flag}=False: it is a switch"):
        translated([f"{flag}=False"], own=set())


def test_a_cache_of_more_bytes_than_there_are_is_refused(
    capsys: pytest.CaptureFixture[str],
) -> None:
    with pytest.raises(SystemExit):
        load_settings(EngineSettings, ["--model=/m", f"--kv-cache-bytes={1 << 63}"])
    assert "--kv-cache-bytes: Input should be less than" in capsys.readouterr().err


def test_the_cache_has_one_size(capsys: pytest.CaptureFixture[str]) -> None:
    """Two that contradict each other are a mistake."""
    with pytest.raises(SystemExit):
        load_settings(EngineSettings, ["--model=/m", "--kv-cache-bytes=1GiB", "--num-blocks=5"])
    assert "--kv-cache-bytes and --num-blocks size the same" in capsys.readouterr().err
