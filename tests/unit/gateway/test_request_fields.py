"""No field of a public request is overlooked: each has a row here that says what bounds it.

A new field in the contract turns this red until somebody has decided.
"""

from collections.abc import Mapping
from enum import Enum, auto
from typing import Any

import pytest

from gateway import convert
from gateway.validation import check
from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.inference.v1 import (
    chat_pb2,
    embedding_service_pb2,
    generate_pb2,
    inference_service_pb2,
    load_service_pb2,
    model_service_pb2,
    tokenization_service_pb2,
)
from steeple_rpc.errors import InvalidRequest, Unsupported
from tests.support.fields import field_paths, request_types


class How(Enum):
    """What keeps a field from doing harm."""

    REFUSED = auto()
    """Not built: whatever it asks for is refused by name. Proven below."""
    BOUNDED = auto()
    """Out of its bounds it is refused by name. Proven below, or where the comment says."""
    LOOKED_UP = auto()
    """Only compared with names that the server knows."""
    ANY = auto()
    """Every value is fine."""
    PROMPT = auto()
    """Its tokens are bounded by the model's context, its bytes by the message limit."""


SAMPLING = {
    "sampling.temperature": How.BOUNDED,
    "sampling.top_k": How.BOUNDED,
    "sampling.top_p": How.BOUNDED,
    "sampling.min_p": How.BOUNDED,
    "sampling.typical_p": How.BOUNDED,
    "sampling.seed": How.ANY,
    "sampling.repetition_penalty": How.BOUNDED,
    "sampling.presence_penalty": How.BOUNDED,
    "sampling.frequency_penalty": How.BOUNDED,
    "sampling.length_penalty.start_index": How.BOUNDED,
    "sampling.length_penalty.decay_factor": How.BOUNDED,
    "sampling.logit_bias": How.BOUNDED,
    "sampling.bad_words": How.BOUNDED,
}
STOPPING = {
    "stopping.max_tokens": How.BOUNDED,
    "stopping.min_tokens": How.BOUNDED,
    "stopping.stop": How.BOUNDED,
    "stopping.stop_token_ids": How.BOUNDED,
    "stopping.ignore_eos": How.ANY,
    "stopping.include_stop_in_output": How.ANY,
    "stopping.time_limit_ms": How.BOUNDED,
}
OUTPUT = {
    "output.n": How.REFUSED,
    "output.best_of": How.REFUSED,
    "output.beam_width": How.REFUSED,
    "output.skip_special_tokens": How.ANY,
    "output.token_details": How.ANY,
    "output.logprobs": How.BOUNDED,
    "output.prompt_logprobs": How.REFUSED,
    "output.logprob_token_ids": How.BOUNDED,
}
GENERATING = {
    **SAMPLING,
    **STOPPING,
    **OUTPUT,
    "request_id": How.BOUNDED,
    "model": How.LOOKED_UP,
    "guided": How.REFUSED,
    "priority": How.BOUNDED,
    "adapter": How.REFUSED,
    "truncate_prompt_tokens": How.BOUNDED,
    "cache_salt": How.BOUNDED,
}
GENERATE = {
    **GENERATING,
    "text": How.BOUNDED,
    "token_ids.ids": How.BOUNDED,
}
MESSAGES = {
    "messages": How.BOUNDED,
    "messages.role": How.BOUNDED,
    "messages.parts": How.BOUNDED,
    "messages.parts.text": How.PROMPT,
    "messages.parts.image": How.REFUSED,
    "messages.name": How.BOUNDED,
    "messages.tool_calls": How.PROMPT,
    "messages.tool_calls.id": How.PROMPT,
    "messages.tool_calls.name": How.PROMPT,
    "messages.tool_calls.arguments_json": How.PROMPT,
    "messages.tool_call_id": How.PROMPT,
    "messages.reasoning": How.PROMPT,
}
CHAT = {
    **GENERATING,
    **MESSAGES,
    "tools": How.REFUSED,
    "tool_choice": How.REFUSED,
    "template_args": How.BOUNDED,
    "continue_final_message": How.ANY,
}
# test_gateway_services.py proves these bounds and refusals.
TOKENIZE = {
    "model": How.LOOKED_UP,
    "inputs": How.BOUNDED,
    "inputs.text": How.PROMPT,
    "inputs.add_special_tokens": How.ANY,
    "inputs.chat.tools": How.REFUSED,
    **{f"inputs.chat.{path}": how for path, how in MESSAGES.items()},
}
DETOKENIZE = {
    "model": How.LOOKED_UP,
    "inputs": How.BOUNDED,
    "inputs.ids": How.PROMPT,
    "skip_special_tokens": How.ANY,
}
LIST_MODELS = {"page_size": How.BOUNDED, "page_token": How.LOOKED_UP}
REQUESTS: Mapping[str, Mapping[str, How]] = {
    "GenerateRequest": GENERATE,
    "GenerateStreamRequest": GENERATE,
    "ChatRequest": CHAT,
    "ChatStreamRequest": CHAT,
    "TokenizeRequest": TOKENIZE,
    "DetokenizeRequest": DETOKENIZE,
    "ListModelsRequest": LIST_MODELS,
    "GetModelRequest": {"name": How.LOOKED_UP},
    "GetLoadRequest": {},
    # test_load_service.py proves it.
    "WatchLoadRequest": {"interval_ms": How.BOUNDED},
    # tests/integration/test_bad_input.py: none of its RPCs looks at its request.
    **{
        name: dict.fromkeys((field.name for field in message.fields), How.REFUSED)
        for name, message in request_types(embedding_service_pb2.DESCRIPTOR).items()
    },
}
SERVICES = tuple(
    file.DESCRIPTOR
    for file in (
        inference_service_pb2,
        embedding_service_pb2,
        load_service_pb2,
        model_service_pb2,
        tokenization_service_pb2,
    )
)


def at(message: Any, path: str) -> tuple[Any, str]:
    """What has the last part of a path as its field, in the first of each list; the last part."""
    *above, name = path.split(".")
    for part in above:
        child = getattr(message, part)
        message = child[0] if hasattr(child, "add") else child
    return message, name


def put(message: Any, path: str) -> None:
    """Set the field at `path` to something that asks for something."""
    owner, name = at(message, path)
    field = owner.DESCRIPTOR.fields_by_name[name]
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        getattr(owner, name)[1] = 1.0
    elif field.is_repeated and field.message_type is not None:
        getattr(owner, name).add()
    elif field.is_repeated:
        getattr(owner, name).append("x" if field.type == field.TYPE_STRING else 1)
    elif field.message_type is not None:
        getattr(owner, name).SetInParent()
    else:
        values = {field.TYPE_STRING: "x", field.TYPE_BYTES: b"x", field.TYPE_FLOAT: 2.0}
        setattr(owner, name, values.get(field.type, 2))


def good(kind: str) -> Any:
    """A request that passes."""
    if "Generate" in kind:
        return generate_pb2.GenerateRequest(text="x")
    request = chat_pb2.ChatRequest()
    request.messages.add(role=common_chat_pb2.ROLE_USER).parts.add(text="x")
    return request


def checked(request: Any) -> None:
    """As InferenceService does it."""
    is_chat = isinstance(request, chat_pb2.ChatRequest)
    check(convert.from_chat(request) if is_chat else convert.from_generate(request))


def break_field(request: Any, path: str) -> None:
    """Set a bounded field to a value beyond its bounds."""
    owner, name = at(request, path)
    bad: dict[str, Any] = {
        "sampling.temperature": -1.0,
        "sampling.top_k": 1 << 30,
        "sampling.top_p": 0.0,
        "sampling.min_p": 2.0,
        "sampling.typical_p": 0.0,
        "sampling.repetition_penalty": 0.0,
        "sampling.presence_penalty": 2.5,
        "sampling.frequency_penalty": -2.5,
        "sampling.length_penalty.start_index": 1_000_001,
        "sampling.length_penalty.decay_factor": 0.5,
        "stopping.max_tokens": 0,
        "stopping.time_limit_ms": 0,
        "output.logprobs": 21,
        "cache_salt": "",
        "request_id": "no blanks",
        "priority": 1001,
        "truncate_prompt_tokens": 0,
        "text": "",
        "messages.role": common_chat_pb2.ROLE_UNSPECIFIED,
        "messages.name": "no blanks",
    }
    many: dict[str, tuple[int, dict[str, Any]]] = {
        "messages": (1025, {"role": common_chat_pb2.ROLE_USER}),
        "messages.parts": (65, {"text": "x"}),
    }
    lists: dict[str, list[Any]] = {
        "stopping.stop": [""],
        "stopping.stop_token_ids": [1] * 65,
        "sampling.bad_words": [""],
        "output.logprob_token_ids": [1] * 129,
    }
    match path:
        case "stopping.min_tokens":
            owner.max_tokens, owner.min_tokens = 1, 2
        case "sampling.logit_bias":
            owner.logit_bias[1] = 101.0
        case "token_ids.ids":
            request.token_ids.SetInParent()
        case "template_args":
            owner.template_args["k"] = "v" * (16 << 10)
        case _ if path in lists:
            getattr(owner, name).extend(lists[path])
        case _ if path in many:
            count, given = many[path]
            for _ in range(count):
                getattr(owner, name).add(**given)
        case _:
            setattr(owner, name, bad[path])


def rows(how: How) -> list[tuple[str, str]]:
    kinds = {"GenerateRequest": GENERATE, "ChatRequest": CHAT}
    return [(kind, path) for kind, table in kinds.items() for path in table if table[path] is how]


def test_every_public_request_has_its_table() -> None:
    assert set(request_types(*SERVICES)) == set(REQUESTS)


@pytest.mark.parametrize("kind", REQUESTS)
def test_every_field_has_its_row_and_every_row_its_field(kind: str) -> None:
    table = REQUESTS[kind]
    refused = [path for path, how in table.items() if how is How.REFUSED]
    assert sorted(field_paths(request_types(*SERVICES)[kind], refused)) == sorted(table)


@pytest.mark.parametrize("kind", ["GenerateRequest", "ChatRequest"])
def test_the_request_that_the_others_are_made_of_passes(kind: str) -> None:
    checked(good(kind))


@pytest.mark.parametrize(("kind", "path"), rows(How.REFUSED))
def test_a_field_that_is_not_built_is_refused_by_name(kind: str, path: str) -> None:
    request = good(kind)
    put(request, path)
    with pytest.raises(Unsupported) as caught:
        checked(request)
    assert _without_indexes(caught.value.field) == path


@pytest.mark.parametrize(("kind", "path"), rows(How.BOUNDED))
def test_a_field_beyond_its_bounds_is_refused_by_name(kind: str, path: str) -> None:
    request = good(kind)
    break_field(request, path)
    with pytest.raises(InvalidRequest) as caught:
        checked(request)
    field = _without_indexes(caught.value.field)
    assert path in (field, f"{field}.ids")


def _without_indexes(field: str) -> str:
    return "".join(part.partition("]")[2] if "]" in part else part for part in field.split("["))
