"""The generation options of the command line: one table, by the client's keywords.

Ranges are the server's to check: it names the field, its limit and the value.
"""

from collections.abc import Callable, Mapping
from inspect import Parameter, signature
from typing import Annotated, Any, cast

import typer

from steeple_cli.conventions.option import option, switch
from steeple_client import GenerateOptions, LengthPenalty

_SAMPLING, _END = "Sampling", "End of the output"
_REQUEST = "Request and reply"

Flag = bool | None
Whole = int | None
Number = float | None
Text = str | None
Texts = list[str] | None


def _whole(text: str, group: str, low: int) -> typer.models.OptionInfo:
    return option(text, group, min=low, metavar="<int>")


# Annotated types are of no common type.
_OPTIONS: Mapping[str, Any] = {
    "temperature": Annotated[Number, option("0 = greedy", _SAMPLING, min=0, metavar="<float>")],
    "top_k": Annotated[Whole, _whole("keep the k likeliest; 0 = all", _SAMPLING, 0)],
    "top_p": Annotated[Number, option("keep the likeliest up to this mass", _SAMPLING)],
    "min_p": Annotated[Number, option("drop what is below this share of the best", _SAMPLING)],
    "typical_p": Annotated[Number, option("keep the most typical up to this mass", _SAMPLING)],
    "seed": Annotated[Whole, _whole("the same seed gives the same answer", _SAMPLING, 0)],
    "repetition_penalty": Annotated[
        Number, option("above 1: fewer tokens of prompt and output", _SAMPLING)
    ],
    "presence_penalty": Annotated[Number, option("off each token of the output", _SAMPLING)],
    "frequency_penalty": Annotated[Number, option("off a token, per occurrence", _SAMPLING)],
    "length_penalty": Annotated[
        Text, option("the end becomes likelier from a token on", _SAMPLING, metavar="START:FACTOR")
    ],
    "logit_bias": Annotated[
        Texts, option("add to a token's logit; repeatable", _SAMPLING, metavar="ID:BIAS")
    ],
    "bad_words": Annotated[
        Texts, option("must not appear; repeatable", _SAMPLING, "--bad-word", metavar="TEXT")
    ],
    "max_tokens": Annotated[Whole, _whole("most tokens to produce", _END, 1)],
    "min_tokens": Annotated[Whole, _whole("fewest tokens before an end", _END, 0)],
    "stop": Annotated[Texts, option("end where the text has this; repeatable", _END)],
    "stop_token_ids": Annotated[
        list[int] | None, option("end with this token; repeatable", _END, "--stop-token-id")
    ],
    "ignore_eos": Annotated[Flag, switch("go on past the model's end", _END, "--ignore-eos")],
    "include_stop_in_output": Annotated[
        Flag, switch("leave what ended it in the text", _END, "--keep-stop")
    ],
    "time_limit_ms": Annotated[Whole, _whole("milliseconds after which it ends as it is", _END, 1)],
    "skip_special_tokens": Annotated[
        Flag, switch("show special tokens", _REQUEST, "--special-tokens")
    ],
    "token_details": Annotated[
        Flag, switch("tell each token (--json)", _REQUEST, "--token-details")
    ],
    "logprobs": Annotated[Whole, _whole("odds of each token and of so many best", _REQUEST, 0)],
    "logprob_token_ids": Annotated[
        list[int] | None, option("odds of this token; repeatable", _REQUEST, "--logprob-token-id")
    ],
    "model": Annotated[Text, option("served model, where there are several", _REQUEST)],
    "priority": Annotated[Whole, option("lower goes first; default: 0", _REQUEST)],
    "cache_salt": Annotated[Text, option("share cached prefixes only within it", _REQUEST)],
    "timeout_s": Annotated[
        Number, option("seconds before the call is given up", _REQUEST, "--timeout")
    ],
}
Json = Annotated[bool, switch("print every event as a JSON line", _REQUEST, "--json")]


def generating(command: Callable[..., None]) -> Callable[..., None]:
    """A command that takes `options: GenerateOptions`, with an option for each of them instead."""

    def run(**given: object) -> None:
        options = {name: given.pop(name) for name in _OPTIONS}
        command(**given, options=_generate_options(options))

    own = signature(command, eval_str=True).parameters.values()
    added = [
        Parameter(name, Parameter.KEYWORD_ONLY, default=None, annotation=kind)
        for name, kind in _OPTIONS.items()
    ]
    shown = [*(parameter for parameter in own if parameter.name != "options"), *added]
    shown.sort(key=lambda parameter: parameter.kind)
    # What typer reads instead of the code.
    run.__name__, run.__doc__ = command.__name__, command.__doc__
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in shown}
    vars(run)["__signature__"] = signature(run).replace(parameters=shown)
    return run


def _generate_options(given: Mapping[str, object]) -> GenerateOptions:
    """The options that were given; the server decides about the others."""
    chosen = {name: value for name, value in given.items() if value is not None and value != []}
    if "skip_special_tokens" in chosen:
        chosen["skip_special_tokens"] = False  # the option shows them
    for name, read in (("length_penalty", _length_penalty), ("logit_bias", _logit_bias)):
        if name in chosen:
            chosen[name] = read(chosen[name])
    return cast("GenerateOptions", chosen)  # names and types are typer's


# Texts and lists of texts, as typer gives them.
def _length_penalty(text: Any) -> LengthPenalty:
    start, factor = _pair("--length-penalty", text)
    return LengthPenalty(start_index=start, decay_factor=factor)


def _logit_bias(texts: Any) -> dict[int, float]:
    return dict(_pair("--logit-bias", text) for text in texts)


def _pair(name: str, text: str) -> tuple[int, float]:
    first, _, second = text.partition(":")
    try:
        return int(first), float(second)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not a whole number, a colon and a number", param_hint=name
        ) from None
