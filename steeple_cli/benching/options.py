"""The options of `steeple bench`."""

from pathlib import Path
from typing import Annotated

from steeple_cli.conventions.option import option, switch

_LOAD, _REQUESTS, _RESULT = "Load", "Requests", "Result"

Concurrency = Annotated[
    str | None, option("closed loop: callers; a sweep: 1,4,16 (the default)", _LOAD)
]
Rate = Annotated[str | None, option("open loop: requests per second; a sweep: 2,4,8", _LOAD)]
Arrivals = Annotated[str | None, option("of --rate: poisson (default) or constant", _LOAD)]
Duration = Annotated[float | None, option("seconds to measure each load; default: 10", _LOAD)]
Requests = Annotated[int | None, option("requests to measure instead of a duration", _LOAD)]
WarmUp = Annotated[
    int | None, option("requests before; default: one per caller, 10 with --rate", _LOAD)
]
Connections = Annotated[int, option("connections that the requests share", _LOAD)]
PromptLens = Annotated[
    str | None, option("256 (default), uniform:1:512 or lognormal:256:0.5 tokens", _REQUESTS)
]
OutputLens = Annotated[str, option("likewise", _REQUESTS)]
Prompts = Annotated[Path | None, option("a text or chat per line, as JSON", _REQUESTS)]
SharedPrefix = Annotated[int, option("tokens that all prompts begin with", _REQUESTS)]
PrefixCache = Annotated[
    bool, switch("let requests find each other's prefixes", _REQUESTS, "--prefix-cache")
]
IgnoreEos = Annotated[bool, switch("answers have the length asked for", _REQUESTS)]
Temperature = Annotated[float, option("0 = greedy", _REQUESTS)]
Model = Annotated[str | None, option("served model, where there are several", _REQUESTS)]
Timeout = Annotated[float, option("seconds before a request is given up", _REQUESTS)]
Seed = Annotated[int, option("the same seed, the same requests", _REQUESTS)]
TtftBound = Annotated[
    float | None, option("seconds; goodput: requests whose TTFT is no more", _RESULT)
]
ItlBound = Annotated[float | None, option("seconds; and whose mean ITL is no more", _RESULT)]
Json = Annotated[Path | None, option("write the figures into this file", _RESULT, "--json")]
Chart = Annotated[Path | None, option("draw them into this file, a PNG", _RESULT)]
Baseline = Annotated[Path | None, option("compare with this earlier --json file", _RESULT)]
