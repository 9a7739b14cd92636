"""The pure checks of a public request."""

from typing import Any

import pytest

from gateway import validation
from gateway.validation import check, check_length
from gateway.values import ChatMessage, ChatPrompt, TextPrompt, TokenPrompt
from steeple_rpc.errors import InvalidRequest
from tests.support.gateway_fakes import generation_request


def message(*parts: str, **given: Any) -> ChatMessage:
    return ChatMessage(role="user", parts=parts, **given)


def chat(*messages: ChatMessage, **given: Any) -> ChatPrompt:
    return ChatPrompt(messages=messages, **given)


GOOD: list[dict[str, Any]] = [
    {},
    {"request_id": "x" * 128},
    {"request_id": "aZ09_.:-"},
    {"truncate_prompt_tokens": 1},
    {"prompt": TextPrompt(" ")},
    {"prompt": TextPrompt("\0")},
    {"prompt": TokenPrompt((0,))},
    {"prompt": chat(message("hi"))},
    {"prompt": chat(message())},
    {"prompt": chat(*[message("hi")] * 1024)},
    {"prompt": chat(message(*["x"] * 64))},
    {"prompt": chat(message("hi", name="x" * 64))},
    {"prompt": chat(message("hi"), template_args={"k": "v" * (16 * 1024 - 1)})},
]
BAD: list[tuple[dict[str, Any], str, str]] = [
    ({"request_id": ""}, "request_id", "BAD_REQUEST_ID"),
    ({"request_id": "x" * 129}, "request_id", "BAD_REQUEST_ID"),
    ({"request_id": "a b"}, "request_id", "BAD_REQUEST_ID"),
    ({"request_id": "a\n"}, "request_id", "BAD_REQUEST_ID"),
    ({"request_id": "é"}, "request_id", "BAD_REQUEST_ID"),
    ({"truncate_prompt_tokens": 0}, "truncate_prompt_tokens", "OUT_OF_RANGE"),
    ({"prompt": TextPrompt("")}, "text", "EMPTY_PROMPT"),
    ({"prompt": TokenPrompt(())}, "token_ids", "EMPTY_PROMPT"),
    ({"prompt": chat()}, "messages", "OUT_OF_RANGE"),
    ({"prompt": chat(*[message("hi")] * 1025)}, "messages", "OUT_OF_RANGE"),
    ({"prompt": chat(message("a"), message(*["x"] * 65))}, "messages[1].parts", "OUT_OF_RANGE"),
    ({"prompt": chat(message("hi", name=""))}, "messages[0].name", "BAD_NAME"),
    ({"prompt": chat(message("hi", name="x" * 65))}, "messages[0].name", "BAD_NAME"),
    ({"prompt": chat(message("hi", name="a b"))}, "messages[0].name", "BAD_NAME"),
    (
        {"prompt": chat(message("hi"), template_args={"k": "é" * 8192})},
        "template_args",
        "OUT_OF_RANGE",
    ),
]


@pytest.mark.parametrize("changed", GOOD, ids=range(len(GOOD)))
def test_what_is_fine_comes_back_as_it_was(changed: dict[str, Any]) -> None:
    request = generation_request(**changed)
    assert check(request) is request


@pytest.mark.parametrize(
    ("changed", "field", "reason"), BAD, ids=[f"{b[1]}-{i}" for i, b in enumerate(BAD)]
)
def test_what_is_wrong_is_named(changed: dict[str, Any], field: str, reason: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check(generation_request(**changed))
    assert (caught.value.field, caught.value.reason) == (field, reason)


def test_a_refusal_never_repeats_the_value() -> None:
    canary = "s e c r e t"
    for changed in ({"request_id": canary}, {"prompt": chat(message("hi", name=canary))}):
        with pytest.raises(InvalidRequest) as caught:
            check(generation_request(**changed))
        assert canary not in caught.value.message


@pytest.mark.parametrize(
    ("num_prompt", "given"),
    [
        (99, {}),
        (99, {"max_tokens": 1, "min_tokens": 1}),
        (1, {"max_tokens": 99, "min_tokens": 99}),
    ],
)
def test_what_fits_the_context_passes(num_prompt: int, given: dict[str, Any]) -> None:
    check_length(num_prompt, generation_request(**given), 100)


@pytest.mark.parametrize(
    ("num_prompt", "given", "field", "reason"),
    [
        (0, {}, "prompt", "EMPTY_PROMPT"),
        (100, {}, "prompt", "PROMPT_TOO_LONG"),
        (101, {}, "prompt", "PROMPT_TOO_LONG"),
        (99, {"max_tokens": 2}, "stopping.max_tokens", "CONTEXT_EXCEEDED"),
        (1, {"max_tokens": (1 << 32) - 1}, "stopping.max_tokens", "CONTEXT_EXCEEDED"),
        (99, {"min_tokens": 2}, "stopping.min_tokens", "CONTEXT_EXCEEDED"),
    ],
)
def test_what_exceeds_the_context_names_limit_and_value(
    num_prompt: int, given: dict[str, Any], field: str, reason: str
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        check_length(num_prompt, generation_request(**given), 100)
    assert (caught.value.field, caught.value.reason) == (field, reason)


def test_the_bounds_are_those_of_the_contract() -> None:
    """protos/steeple/inference/v1 and common/v1/chat.proto promise these."""
    assert validation.MAX_REQUEST_ID == 128
    assert validation.MAX_PARTS == 64
    assert validation.MAX_NAME == 64
