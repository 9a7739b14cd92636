"""The options of `steeple plan` beside those that it shares with `steeple serve`."""

from pathlib import Path
from typing import Annotated

import typer

_BATCHES, _REQUESTS, _TIME, _OUTPUT = "Batches", "Requests", "Step time", "Output"


def _option(text: str, group: str, metavar: str | None = None) -> typer.models.OptionInfo:
    made: typer.models.OptionInfo = typer.Option(help=text, rich_help_panel=group, metavar=metavar)
    return made


Scheduler = Annotated[
    list[str] | None, _option("policies to compare: a,b; default: continuous", _BATCHES)
]
BlockSize = Annotated[int | None, _option("tokens per KV block", _BATCHES)]
NumBlocks = Annotated[
    int | None, _option("KV blocks; default: max_num_seqs full requests", _BATCHES)
]
RequestsFile = Annotated[Path | None, _option("a request per line, as JSON", _REQUESTS)]
Requests = Annotated[int | None, _option("how many; default: 100", _REQUESTS)]
Rate = Annotated[float | None, _option("arrivals per second; default: all at once", _REQUESTS)]
PromptLens = Annotated[
    str | None, _option("256, uniform:1:512 or lognormal:256:0.5 (median, sigma)", _REQUESTS)
]
OutputLens = Annotated[str | None, _option("likewise; defaults: 256 and 64", _REQUESTS)]
MaxTokens = Annotated[
    int | None, _option("what all ask for; default: what they will get", _REQUESTS)
]
Seed = Annotated[int | None, _option("the same seed, the same requests; default: 0", _REQUESTS)]
StepBaseMs = Annotated[
    float, typer.Option("--step-base-ms", help="of every step", rich_help_panel=_TIME)
]
PrefillUsPerToken = Annotated[float, _option("per prompt position computed", _TIME)]
DecodeUsPerRow = Annotated[float, _option("per decode row computed", _TIME)]
KvNsPerToken = Annotated[float, _option("per KV position read", _TIME)]
Trace = Annotated[
    str | None, _option("steps shown: a number, all or none; default: 20", _OUTPUT, "TEXT")
]
Timeline = Annotated[Path | None, _option("draw the requests into this PNG", _OUTPUT)]
Json = Annotated[bool, typer.Option("--json", help="print JSON", rich_help_panel=_OUTPUT)]
