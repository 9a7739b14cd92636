"""The options of `steeple serve`: one name each, grouped as its help shows them."""

from enum import Enum
from pathlib import Path
from typing import Annotated

from steeple_cli.option import option

_MODEL, _BATCHES, _POLICY = "Model", "Batches", "Batching policy"
_MEMORY, _SERVICE, _ACCESS = "Memory and compute", "Service", "Access"


Model = Annotated[
    str | None, option("directory, or org/name in the hub cache; default: the demo", _MODEL)
]
ServedModelName = Annotated[str | None, option("name on the wire", _MODEL)]
Dtype = Annotated[str | None, option("auto, float32, bfloat16 or float16", _MODEL)]
Runner = Annotated[str | None, option("fms, or fake (no weights)", _MODEL)]
MaxModelLen = Annotated[int | None, option("longest prompt + output", _BATCHES)]
MaxNumSeqs = Annotated[int | None, option("most requests in one step", _BATCHES)]
MaxNumBatchedTokens = Annotated[
    int | None, option("most tokens in one step, or in a chunk", _BATCHES)
]
DefaultMaxTokens = Annotated[
    int | None, option("cap on max_tokens where a request leaves it unset", _BATCHES)
]
Scheduler = Annotated[
    str | None, option("continuous, static, spyre_continuous or spyre_chunked", _BATCHES)
]
WarmupShapes = Annotated[
    str | None, option("static: prompt, new, batch: 64:20:4,128:20:2", _POLICY)
]
Join = Annotated[str | None, option("spyre_continuous: wait or shift", _POLICY)]
MaxBatchTkv = Annotated[int | None, option("spyre_*: most of rows x KV length", _POLICY)]
MinDecodeRows = Annotated[
    int | None, option("spyre_*: fewest rows of a decode; 2 for FP8", _POLICY)
]
Interleave = Annotated[bool | None, option("spyre_chunked: decode between two chunks", _POLICY)]
OverLimit = Annotated[str | None, option("spyre_chunked: pause or look-ahead", _POLICY)]
PauseOrder = Annotated[str | None, option("spyre_chunked: fewest-first or most-first", _POLICY)]
PrefixCaching = Annotated[
    bool | None, option("continuous, spyre_chunked: reuse equal prompts", _POLICY)
]
BlockSize = Annotated[int | None, option("tokens per KV block", _MEMORY)]
KvCacheBytes = Annotated[int | None, option("memory of the KV cache", _MEMORY)]
KvCacheShare = Annotated[float | None, option("the same as a share of the free memory", _MEMORY)]
Device = Annotated[str | None, option("torch device", _MEMORY)]
NumThreads = Annotated[int | None, option("compute threads; default: cores - 1", _MEMORY)]
Host = Annotated[str, option("where the gateway listens", _SERVICE)]
Port = Annotated[int, option("the gateway's port", _SERVICE, min=1, max=65535, metavar="<int>")]
InsecureBind = Annotated[
    bool, option("allow plaintext beyond loopback", _SERVICE, "--insecure-bind")
]
TlsCert = Annotated[Path | None, option("serve TLS with this certificate (PEM)", _ACCESS)]
TlsKey = Annotated[Path | None, option("its key (PEM)", _ACCESS)]
TlsClientCa = Annotated[Path | None, option("mutual TLS: who vouches for clients", _ACCESS)]
TokenHashes = Annotated[Path | None, option("see steeple token; callers need one", _ACCESS)]
MaxShare = Annotated[float | None, option("part of the places per principal", _ACCESS)]
MetricsPort = Annotated[
    int | None,
    option(
        "metrics of the gateway; the others on the next",
        _SERVICE,
        min=0,
        max=65533,
        metavar="<int>",
    ),
]
OtlpEndpoint = Annotated[str | None, option("traces go to this OTLP receiver", _SERVICE)]
Grace = Annotated[float, option("seconds for requests to end", _SERVICE)]
StartupTimeout = Annotated[float, option("seconds until ready at most", _SERVICE)]


class Level(Enum):
    """Least severe log line that is shown."""

    DEBUG = "debug"
    INFO = "info"
    WARNING = "warning"
    ERROR = "error"


LogLevel = Annotated[Level, option("debug, info, warning or error", _SERVICE, metavar="<level>")]
LogJson = Annotated[bool, option("log lines as JSON", _SERVICE, "--log-json")]
