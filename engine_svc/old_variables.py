"""Variables of the systems before this one: vllm-spyre, later called sendnn-inference.

This table decides what becomes of each; docs/configuration.md shows it. Where a suffix is given
under both prefixes, both must say the same.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFIXES = ("SENDNN_INFERENCE_", "VLLM_SPYRE_")
"""The newer one first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Read:
    """It sets something here."""

    setting: str
    how: str
    """What its values come to."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Unbuilt:
    """What it sets is not built yet: told in a warning, unless the value asks for nothing."""

    what: str
    harmless: Sequence[str] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Needless:
    """Nothing here needs it: told once."""

    why: str


Fate = Read | Unbuilt | Needless

_SHAPES = "with the other two: a shape from each place of the three lists, read by static"
_COMPILER = "the Spyre runner and its compiler"
_REGISTRY = "the registry of known model configurations"
_BALANCE = "balancing prefill against decode by counts or times"
_PERF = "metrics tell more: --metrics-listen"
_VLLM = "a switch of vLLM"
_WRITTEN = "written for torch_sendnn by who starts the device, never read"

BY_SUFFIX: Mapping[str, Fate] = {
    "USE_CB": Read(setting="scheduler", how="1: spyre_continuous; 0: static"),
    "USE_CHUNKED_PREFILL": Read(setting="scheduler", how="1, with USE_CB=1: spyre_chunked"),
    "WARMUP_PROMPT_LENS": Read(setting="warmup_shapes", how=_SHAPES),
    "WARMUP_NEW_TOKENS": Read(setting="warmup_shapes", how=_SHAPES),
    "WARMUP_BATCH_SIZES": Read(setting="warmup_shapes", how=_SHAPES),
    "CP_INTERLEAVE_STEPS": Read(setting="interleave", how="0: no; else yes"),
    "N_BLOCKS": Read(setting="num_blocks", how="the number; 0: unset"),
    "NUM_CPUS": Read(setting="num_threads", how="the number; 0: unset"),
    "DYNAMO_BACKEND": Unbuilt(what=_COMPILER, harmless=("eager",)),
    "SIMPLE_COMPILE_BACKEND": Unbuilt(what=_COMPILER),
    "REQUIRE_PRECOMPILED_DECODERS": Unbuilt(what=_COMPILER, harmless=("0",)),
    "ENABLE_PREFILL_OPTIMIZATION": Unbuilt(what="the other variants of chunked prefill"),
    "ENABLE_PROMPT_LOGPROBS": Unbuilt(what="logprobs of prompts", harmless=("0",)),
    "REQUIRE_KNOWN_CONFIG": Unbuilt(what=_REGISTRY, harmless=("0",)),
    "MODEL_CONFIG_FILE": Unbuilt(what=_REGISTRY),
    "N_TOKENS_PREFILL_PRIO": Unbuilt(what=_BALANCE, harmless=("-1",)),
    "MAX_WAITING_TIME_SECONDS": Unbuilt(what=_BALANCE, harmless=("inf",)),
    "MAX_LOAD_PROCESSES": Unbuilt(what="several devices per model", harmless=("0",)),
    "GLOO_TIMEOUT_MINUTES": Unbuilt(what="several devices per model"),
    "WORKER_LOG_REDIRECT_DIR": Needless(why="there is one log, on standard error"),
    "PERF_METRIC_LOGGING_ENABLED": Needless(why=_PERF),
    "PERF_METRIC_LOGGING_DIR": Needless(why=_PERF),
    "OVERRIDE_SIGNALS_HANDLER": Needless(why="signals are the front's, not the device's process'"),
    "UPDATE_THREAD_CONFIG": Needless(why="threads are always set: --num-threads"),
}
"""By what follows the prefix."""

BY_NAME: Mapping[str, Fate] = {
    "VLLM_DT_MAX_BATCH_TKV_LIMIT": Read(setting="max_batch_tkv", how="the number"),
    "VLLM_DT_MAX_CONTEXT_LEN": Needless(why=_WRITTEN),
    "VLLM_DT_MAX_BATCH_SIZE": Needless(why=_WRITTEN),
    "VLLM_DT_CHUNK_LEN": Needless(why=_WRITTEN),
    "VLLM_ENABLE_V1_MULTIPROCESSING": Needless(why=_VLLM),
    "VLLM_LOGGING_LEVEL": Needless(why=_VLLM),
    "VLLM_PLUGINS": Needless(why=_VLLM),
    "VLLM_TARGET_DEVICE": Needless(why=_VLLM),
    "VLLM_TORCH_PROFILER_DIR": Needless(why=_VLLM),
    "VLLM_USE_V1": Needless(why=_VLLM),
}
"""Whole names."""
