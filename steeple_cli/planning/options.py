"""The options of `steeple plan`; some are those of `steeple serve`."""

from pathlib import Path
from typing import Annotated

import typer

from steeple_cli.conventions.option import option, switch
from steeple_cli.serving.options import OPTIONS

_BATCHES, _REQUESTS, _TIME, _OUTPUT = "Batches", "Requests", "Step time", "Output"


_N = "<n>"
NUMBERS = (
    *("max_model_len", "max_num_seqs", "max_num_batched_tokens", "block_size", "num_blocks"),
    *("max_batch_tkv", "min_decode_rows", "requests", "max_tokens"),
)
"""What may be written as 32k."""


def _served(name: str) -> typer.models.OptionInfo:
    """An option that `steeple serve` has, too."""
    one = OPTIONS[name]
    if one.kind is bool:
        return switch(one.text, one.group)
    return option(one.text, one.group, **one.how)


MaxModelLen = Annotated[str | None, _served("max_model_len")]
MaxNumSeqs = Annotated[str | None, _served("max_num_seqs")]
MaxNumBatchedTokens = Annotated[str | None, _served("max_num_batched_tokens")]
WarmupShapes = Annotated[str | None, _served("warmup_shapes")]
Join = Annotated[str | None, _served("join")]
MaxBatchTkv = Annotated[str | None, _served("max_batch_tkv")]
MinDecodeRows = Annotated[str | None, _served("min_decode_rows")]
Interleave = Annotated[bool | None, _served("interleave")]
OverLimit = Annotated[str | None, _served("over_limit")]
PauseOrder = Annotated[str | None, _served("pause_order")]
PrefixCaching = Annotated[bool | None, _served("prefix_caching")]
Scheduler = Annotated[
    list[str] | None, option("policies to compare: a,b; default: continuous", _BATCHES)
]
BlockSize = Annotated[str | None, option("tokens per KV block", _BATCHES, metavar=_N)]
NumBlocks = Annotated[
    str | None, option("KV blocks; default: max_num_seqs full requests", _BATCHES, metavar=_N)
]
RequestsFile = Annotated[Path | None, option("a request per line, as JSON", _REQUESTS)]
Requests = Annotated[str | None, option("how many; default: 100", _REQUESTS, metavar=_N)]
Rate = Annotated[float | None, option("arrivals per second; default: all at once", _REQUESTS)]
PromptLens = Annotated[
    str | None, option("256, uniform:1:512 or lognormal:256:0.5 (median, sigma)", _REQUESTS)
]
OutputLens = Annotated[str | None, option("likewise; defaults: 256 and 64", _REQUESTS)]
MaxTokens = Annotated[
    str | None, option("what all ask for; default: what they will get", _REQUESTS, metavar=_N)
]
Seed = Annotated[int | None, option("the same seed, the same requests; default: 0", _REQUESTS)]
StepBaseMs = Annotated[float, option("of every step", _TIME, "--step-base-ms")]
PrefillUsPerToken = Annotated[float, option("per prompt position computed", _TIME)]
DecodeUsPerRow = Annotated[float, option("per decode row computed", _TIME)]
KvNsPerToken = Annotated[float, option("per KV position read", _TIME)]
Trace = Annotated[
    str | None, option("steps shown: a number, all or none; default: 20", _OUTPUT, metavar="TEXT")
]
Timeline = Annotated[Path | None, option("draw the requests into this file, a PNG", _OUTPUT)]
Json = Annotated[bool, switch("print JSON", _OUTPUT, "--json")]
