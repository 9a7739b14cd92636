"""The generation options of the command line, as the client's keywords."""

from typing import Annotated, cast

import typer

from steeple_client import GenerateOptions

Model = Annotated[str | None, typer.Option(help="served model; needed where there are several")]
MaxTokens = Annotated[int | None, typer.Option(min=1, help="most tokens to produce")]
Temperature = Annotated[float | None, typer.Option(min=0, help="0 = greedy")]
TopK = Annotated[int | None, typer.Option(min=0, help="sample from the k likeliest; 0 = all")]
TopP = Annotated[float | None, typer.Option(help="sample from this share of probability")]
Seed = Annotated[int | None, typer.Option(min=0, help="the same seed gives the same answer")]
Stop = Annotated[list[str] | None, typer.Option(help="end where the text has this; repeatable")]
Priority = Annotated[
    int | None, typer.Option(min=-1000, max=1000, help="lower goes first; default: 0")
]
Timeout = Annotated[float | None, typer.Option(help="seconds before the call is given up")]
Json = Annotated[bool, typer.Option("--json", help="print every event as a JSON line")]


def generate_options(**given: object) -> GenerateOptions:
    """The options that were given; the server decides about the others."""
    chosen = {name: value for name, value in given.items() if value is not None and value != []}
    return cast("GenerateOptions", chosen)  # names and types are typer's
