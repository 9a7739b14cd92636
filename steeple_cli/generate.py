"""`steeple generate`: continue a text."""

from typing import Annotated

import typer

from steeple_cli.options import Json, generating
from steeple_cli.printing import print_json, print_text
from steeple_cli.target import TARGET, Target, connected
from steeple_client import GenerateOptions


@generating
def generate(
    prompt: Annotated[str, typer.Argument(help="the text to continue")],
    *,
    options: GenerateOptions,
    json: Json = False,
    target: Target = TARGET,
) -> None:
    """Continue a text and print what the model adds, as it comes."""
    with connected(target) as client:
        events = client.generate_stream(prompt, **options)
        (print_json if json else print_text)(events)
