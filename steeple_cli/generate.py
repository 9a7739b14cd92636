"""`steeple generate`: continue a text."""

from typing import Annotated

import typer

from steeple_cli import options as cli
from steeple_cli.printing import print_json, print_text
from steeple_cli.target import TARGET, Target, connected


def generate(  # noqa: PLR0913 - one parameter per option of the command
    prompt: Annotated[str, typer.Argument(help="the text to continue")],
    *,
    model: cli.Model = None,
    max_tokens: cli.MaxTokens = None,
    temperature: cli.Temperature = None,
    top_k: cli.TopK = None,
    top_p: cli.TopP = None,
    seed: cli.Seed = None,
    stop: cli.Stop = None,
    priority: cli.Priority = None,
    timeout: cli.Timeout = None,
    json: cli.Json = False,
    target: Target = TARGET,
) -> None:
    """Continue a text and print what the model adds, as it comes."""
    options = cli.generate_options(
        model=model,
        max_tokens=max_tokens,
        temperature=temperature,
        top_k=top_k,
        top_p=top_p,
        seed=seed,
        stop=stop,
        priority=priority,
        timeout_s=timeout,
    )
    with connected(target) as client:
        events = client.generate_stream(prompt, **options)
        (print_json if json else print_text)(events)
