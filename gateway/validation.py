"""Pure checks of a public request: the first thing that is wrong is told, with its bounds."""

import re
from typing import Any

from gateway.values import ChatPrompt, GenerationRequest, Prompt, TextPrompt, TokenPrompt
from steeple_rpc.errors import InvalidRequest
from steeple_rpc.limits import (
    UINT32_MAX,
    Bounds,
    check_number,
    check_token_ids,
    check_token_keys,
)

MAX_REQUEST_ID = 128
MAX_MESSAGES = 1024
MAX_PARTS = 64
MAX_NAME = 64
MAX_TEMPLATE_ARGS_BYTES = 16 << 10
KEPT_TOKENS = Bounds(low=1, high=UINT32_MAX)
_ID = re.compile(r"[A-Za-z0-9_.:-]+")
_NAME = re.compile(r"[A-Za-z0-9_.-]+")


def check(request: GenerationRequest) -> GenerationRequest:
    """The request itself, if nothing is wrong with it.

    Raises:
        InvalidRequest: names the field, its limit and the value's size.
    """
    check_request_id(request.request_id)
    _check_prompt(request.prompt)
    if request.truncate_prompt_tokens is not None:
        check_number("truncate_prompt_tokens", request.truncate_prompt_tokens, KEPT_TOKENS)
    return request


def check_request_id(request_id: str) -> None:
    """Refuse an id that is empty, long or has odd characters."""
    if len(request_id) > MAX_REQUEST_ID or not _ID.fullmatch(request_id):
        raise InvalidRequest(
            f"request_id must be 1 to {MAX_REQUEST_ID} of [A-Za-z0-9_.:-]; it has"
            f" {len(request_id)} characters",
            reason="BAD_REQUEST_ID",
            field="request_id",
        )


def check_length(num_prompt_tokens: int, request: GenerationRequest, max_model_len: int) -> None:
    """Refuse what exceeds the model's context.

    Raises:
        InvalidRequest: the prompt, or prompt + max_tokens, is too long.
    """
    if num_prompt_tokens == 0:
        raise InvalidRequest("the prompt has no tokens", reason="EMPTY_PROMPT", field="prompt")
    if num_prompt_tokens >= max_model_len:
        raise InvalidRequest(
            f"the prompt has {num_prompt_tokens} tokens; with at least one more the context of"
            f" {max_model_len} is exceeded",
            reason="PROMPT_TOO_LONG",
            field="prompt",
        )
    _check_room("max_tokens", request.max_tokens or 0, max_model_len - num_prompt_tokens)
    _check_room("min_tokens", request.min_tokens, max_model_len - num_prompt_tokens)


# The options' values are of the contract's types.
def check_vocabulary(request: GenerationRequest, vocab_size: int) -> None:
    """Refuse parameters that name tokens which the model does not have.

    Raises:
        InvalidRequest: an id is not below `vocab_size`.
    """
    stops: Any = request.stopping.get("stop_token_ids", ())
    check_token_ids("stopping.stop_token_ids", stops, vocab_size)
    biases: Any = request.sampling.get("logit_bias", {})
    check_token_keys("sampling.logit_bias", biases, vocab_size)
    wanted = request.logprobs.token_ids if request.logprobs is not None else ()
    check_token_ids("output.logprob_token_ids", wanted, vocab_size)


def _check_room(name: str, value: int, room: int) -> None:
    if value > room:
        raise InvalidRequest(
            f"stopping.{name} must be at most {room}, what the prompt leaves of the context;"
            f" it is {value}",
            reason="CONTEXT_EXCEEDED",
            field=f"stopping.{name}",
        )


def _check_prompt(prompt: Prompt) -> None:
    match prompt:
        case TextPrompt(text=""):
            raise InvalidRequest("the prompt is empty", reason="EMPTY_PROMPT", field="text")
        case TokenPrompt(token_ids=()):
            raise InvalidRequest("the prompt is empty", reason="EMPTY_PROMPT", field="token_ids")
        case ChatPrompt():
            check_chat(prompt)
        case _:
            pass


def check_chat(prompt: ChatPrompt) -> None:
    """Refuse a conversation that is empty or has too much of something.

    Raises:
        InvalidRequest: names the field, its limit and the value's size.
    """
    _check_size("messages", len(prompt.messages), 1, MAX_MESSAGES)
    for index, message in enumerate(prompt.messages):
        _check_size(f"messages[{index}].parts", len(message.parts), 0, MAX_PARTS)
        if message.name is not None and not _is_name(message.name):
            raise InvalidRequest(
                f"messages[{index}].name must be 1 to {MAX_NAME} of [A-Za-z0-9_.-]",
                reason="BAD_NAME",
                field=f"messages[{index}].name",
            )
    args_bytes = sum(len(k.encode()) + len(v.encode()) for k, v in prompt.template_args.items())
    _check_size("template_args", args_bytes, 0, MAX_TEMPLATE_ARGS_BYTES)


def _is_name(name: str) -> bool:
    return len(name) <= MAX_NAME and _NAME.fullmatch(name) is not None


def _check_size(field: str, size: int, low: int, high: int) -> None:
    if not low <= size <= high:
        raise InvalidRequest(
            f"{field} must have a size of {low} to {high}; it is {size}",
            reason="OUT_OF_RANGE",
            field=field,
        )
