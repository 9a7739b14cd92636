"""What engines tell about themselves, for tests of the front."""

from typing import Any

import msgspec

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.messages import EngineInfo
from engine_svc.core.params import SamplingParams


def engine_info(**changed: Any) -> EngineInfo:
    """A small engine under `continuous`, but for the fields given."""
    info = EngineInfo(
        architecture="GraniteForCausalLM",
        model_fingerprint="m",
        tokenizer_fingerprint="t",
        vocab_size=100,
        max_model_len=32,
        dtype="float32",
        device="cpu",
        runner="fake",
        scheduler="continuous",
        max_num_seqs=4,
        max_num_batched_tokens=8,
        batching=BatchingOptions(),
        default_sampling=SamplingParams(temperature=0.7, top_p=0.9),
        eos_token_ids=(0, 3),
        block_size=4,
        num_blocks=32,
        weights_bytes=1,
        kv_cache_bytes=1,
    )
    return msgspec.structs.replace(info, **changed)
