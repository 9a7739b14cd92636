"""The bounds of every request parameter: one table.

The gateway checks before it admits, the engine checks again: it trusts nobody. Messages of
common/v1 come in; nothing is changed and nothing is returned. What an id may be depends on the
model: `limits.check_token_ids`.
"""

from collections.abc import Mapping
from typing import Any

from steeple_rpc.errors import InvalidRequest
from steeple_rpc.limits import (
    UINT32_MAX,
    Bounds,
    check_count,
    check_number,
    check_numbers,
    check_text,
)
from steeple_rpc.unbuilt import check_unbuilt

MAX_STOPS = 8
MAX_STOP_BYTES = 256
MAX_STOP_TOKEN_IDS = 64
MAX_LOGIT_BIASES = 1024
MAX_BAD_WORDS = 64
MAX_BAD_WORD_BYTES = 256
MAX_LOGPROBS = 20
MAX_LOGPROB_TOKEN_IDS = 128
MAX_SALT_BYTES = 128

SAMPLING: Mapping[str, Bounds] = {
    "temperature": Bounds(low=0, high=100),
    "top_k": Bounds(low=0, high=1_000_000),
    "top_p": Bounds(low=0, high=1, is_low_open=True),
    "min_p": Bounds(low=0, high=1),
    "typical_p": Bounds(low=0, high=1, is_low_open=True),
    "repetition_penalty": Bounds(low=0, high=10, is_low_open=True),
    "presence_penalty": Bounds(low=-2, high=2),
    "frequency_penalty": Bounds(low=-2, high=2),
}
STOPPING: Mapping[str, Bounds] = {
    "max_tokens": Bounds(low=1, high=UINT32_MAX),
    "min_tokens": Bounds(low=0, high=UINT32_MAX),
    "time_limit_ms": Bounds(low=1, high=UINT32_MAX),
}
OUTPUT: Mapping[str, Bounds] = {"logprobs": Bounds(low=0, high=MAX_LOGPROBS)}
REQUEST: Mapping[str, Bounds] = {"priority": Bounds(low=-1000, high=1000)}
START_INDEX = Bounds(low=0, high=1_000_000)
DECAY_FACTOR = Bounds(low=1, high=10)
LOGIT_BIAS = Bounds(low=-100, high=100)


# The messages share their parameters' fields and no base class; so in all of this file.
def check_request(request: Any) -> None:
    """Check the parameters that every generating request carries.

    Args:
        request: any message with `sampling`, `stopping` and `output`.

    Raises:
        InvalidRequest: a value is out of its bounds, or two contradict each other; names fields,
            bounds and value.
        Unsupported: a field that is not built yet asks for something; names the field.
    """
    check_unbuilt(request)
    check_numbers(request, REQUEST, "")
    _check_sampling(request.sampling)
    _check_stopping(request.stopping)
    _check_output(request.output)
    _check_salt(request)
    _check_contradictions(request)


def _check_sampling(sampling: Any) -> None:
    check_numbers(sampling, SAMPLING, "sampling.")
    if sampling.HasField("length_penalty"):
        growth, field = sampling.length_penalty, "sampling.length_penalty"
        check_number(f"{field}.start_index", growth.start_index, START_INDEX)
        check_number(f"{field}.decay_factor", growth.decay_factor, DECAY_FACTOR)
    check_count("sampling.logit_bias", len(sampling.logit_bias), MAX_LOGIT_BIASES)
    for token_id, bias in sampling.logit_bias.items():
        check_number(f"sampling.logit_bias[{token_id}]", bias, LOGIT_BIAS)
    _check_texts("sampling.bad_words", sampling.bad_words, MAX_BAD_WORDS, MAX_BAD_WORD_BYTES)


def _check_stopping(stopping: Any) -> None:
    check_numbers(stopping, STOPPING, "stopping.")
    check_count("stopping.stop_token_ids", len(stopping.stop_token_ids), MAX_STOP_TOKEN_IDS)
    _check_texts("stopping.stop", stopping.stop, MAX_STOPS, MAX_STOP_BYTES)


def _check_output(output: Any) -> None:
    check_numbers(output, OUTPUT, "output.")
    check_count("output.logprob_token_ids", len(output.logprob_token_ids), MAX_LOGPROB_TOKEN_IDS)


def _check_texts(field: str, texts: Any, max_count: int, max_bytes: int) -> None:
    check_count(field, len(texts), max_count)
    for index, text in enumerate(texts):
        check_text(f"{field}[{index}]", text, max_bytes)


def _check_salt(request: Any) -> None:
    """An empty salt is refused: nobody means to share by what he forgot to fill in."""
    if not request.HasField("cache_salt"):
        return
    check_text("cache_salt", request.cache_salt, MAX_SALT_BYTES)
    if not request.cache_salt.isprintable():
        raise InvalidRequest(
            "cache_salt may only have printable characters",
            reason="BAD_CACHE_SALT",
            field="cache_salt",
        )


def _check_contradictions(request: Any) -> None:
    sampling, stopping, output = request.sampling, request.stopping, request.output
    has_both = stopping.HasField("max_tokens") and stopping.HasField("min_tokens")
    if has_both and stopping.min_tokens > stopping.max_tokens:
        raise InvalidRequest(
            f"stopping.min_tokens must be at most max_tokens {stopping.max_tokens};"
            f" it is {stopping.min_tokens}",
            reason="OUT_OF_RANGE",
            field="stopping.min_tokens",
        )
    if output.logprobs and output.logprob_token_ids:
        raise _contradiction("output.logprobs", "output.logprob_token_ids", "tell other tokens")
    if stopping.ignore_eos and sampling.HasField("length_penalty"):
        raise _contradiction(
            "sampling.length_penalty", "stopping.ignore_eos", "want the end and ignore it"
        )


def _contradiction(first: str, second: str, how: str) -> InvalidRequest:
    return InvalidRequest(
        f"{first} and {second} {how}: set one of them", reason="CONTRADICTION", field=first
    )
