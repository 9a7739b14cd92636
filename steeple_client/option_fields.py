"""Options as the fields of a request; what does not fit is told by the option's name."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict
from difflib import get_close_matches
from typing import Any, TypeVar

from google.protobuf.message import Message as WireMessage

from steeple.common.v1 import sampling_pb2
from steeple_client.options import GenerateOptions
from steeple_client.values import LengthPenalty
from steeple_rpc.errors import InvalidRequest

Filled = TypeVar("Filled", bound=WireMessage)

_SAMPLING = (
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "seed",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
    "length_penalty",
    "logit_bias",
    "bad_words",
)
_STOPPING = (
    "max_tokens",
    "min_tokens",
    "stop",
    "stop_token_ids",
    "ignore_eos",
    "include_stop_in_output",
    "time_limit_ms",
)
_OUTPUT = ("skip_special_tokens", "token_details", "logprobs", "logprob_token_ids")
_REQUEST = ("model", "request_id", "truncate_prompt_tokens", "priority", "cache_salt")
_CLIENT = ("timeout_s",)


def option_fields(options: GenerateOptions, *others: str) -> dict[str, Any]:
    """The fields of a request that options are.

    Args:
        options: of any generating call.
        others: options that are told in another way.

    Raises:
        InvalidRequest: a value cannot be sent.
        TypeError: there is no such option, or its value is of another type.
    """
    _check_known(set(options), {*_SAMPLING, *_STOPPING, *_OUTPUT, *_REQUEST, *_CLIENT, *others})
    given: dict[str, Any] = {name: _sendable(value) for name, value in options.items()}
    for name in ("stop", "bad_words"):
        if isinstance(given.get(name), str):
            raise TypeError(
                f"{name} is a list of texts; a single text would be taken letter by letter"
            )

    def chosen(names: Sequence[str]) -> dict[str, Any]:
        return {name: given[name] for name in names if name in given}

    return {
        **chosen(_REQUEST),
        "sampling": filled(sampling_pb2.SamplingParams, chosen(_SAMPLING), "sampling."),
        "stopping": filled(sampling_pb2.StoppingParams, chosen(_STOPPING), "stopping."),
        "output": filled(sampling_pb2.OutputParams, chosen(_OUTPUT), "output."),
    }


def _sendable(value: object) -> object:
    """What a message's constructor takes."""
    return asdict(value) if isinstance(value, LengthPenalty) else value


def _check_known(given: set[str], known: set[str]) -> None:
    told = []
    for name in sorted(given - known):
        close = get_close_matches(name, known, n=1)
        told.append(f"{name} (did you mean {close[0]}?)" if close else name)
    if told:
        raise TypeError(f"unknown options: {', '.join(told)}")


# The messages' constructors take fields by name; their stubs cannot say so for a mapping.
def filled(kind: type[Filled], fields: Mapping[str, Any], prefix: str = "") -> Filled:
    """A message of these fields.

    Args:
        kind: of which.
        fields: by name.
        prefix: the path of the message in the request, with a dot behind.

    Raises:
        InvalidRequest: no message can hold a value, as the server would say, had it seen it.
        TypeError: a value is of another type.
    """
    try:
        return kind(**fields)
    except (TypeError, ValueError):
        for name, value in fields.items():
            _check_fits(kind, name, value, prefix)
        raise


def _check_fits(kind: type[WireMessage], name: str, value: object, prefix: str) -> None:
    made: Any = kind
    try:
        made(**{name: value})
    except UnicodeError:
        raise InvalidRequest(
            f"{prefix}{name} is not valid Unicode", reason="BAD_TEXT", field=prefix + name
        ) from None
    except ValueError as error:
        raise InvalidRequest(
            f"{prefix}{name} does not fit its field: {error}",
            reason="OUT_OF_RANGE",
            field=prefix + name,
        ) from None
    except TypeError as error:
        raise TypeError(f"{name}: {error}") from None
