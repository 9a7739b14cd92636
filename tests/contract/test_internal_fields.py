"""No field of a message between our services is overlooked: each is bounded, or has a reason.

Engine and tokenizer service trust nobody: a new field in their contracts turns this red until
somebody has decided. Public requests: tests/unit/gateway/test_request_fields.py.
"""

from collections.abc import Mapping
from typing import Any

import pytest

from engine_svc.validation import EngineLimits, to_spec
from steeple.engine.v1 import engine_service_pb2, generate_pb2
from steeple.tokenizer.v1 import detokenize_pb2, tokenizer_service_pb2
from steeple_rpc.errors import InvalidRequest, ServiceError, Unsupported
from tests.support.engine_infos import engine_info
from tests.support.fields import field_paths, request_types
from tests.support.tokenizers import loaded_family
from tokenizer_svc import conversion
from tokenizer_svc.detokenize.commands import Update
from tokenizer_svc.detokenize.sessions import SessionTable

LIMITS = EngineLimits(model="demo", default_max_tokens=10, info=engine_info())
FLAG = "a flag"
NAME = "compared with names that are known"
CONTEXT = "its ids are bounded by the model's context, its bytes by the message limit"
BYTES = "its bytes are bounded by the message limit; nothing grows faster than it"
BOUNDED = "refused by name out of its bounds: proven below"
REFUSED = "refused by name where it asks for something: proven below"
UNSERVED = "the RPC answers UNIMPLEMENTED"

GENERATE = {
    "request_id": BOUNDED,
    "model": NAME,
    "prompt_token_ids": BOUNDED,
    "prior_output_token_ids": BOUNDED,
    "output_index": BOUNDED,
    "sampling.temperature": BOUNDED,
    "sampling.top_k": BOUNDED,
    "sampling.top_p": BOUNDED,
    "sampling.min_p": BOUNDED,
    "sampling.typical_p": BOUNDED,
    "sampling.seed": "any 64 bits are a seed",
    "sampling.repetition_penalty": BOUNDED,
    "sampling.presence_penalty": BOUNDED,
    "sampling.frequency_penalty": BOUNDED,
    "sampling.length_penalty.start_index": BOUNDED,
    "sampling.length_penalty.decay_factor": BOUNDED,
    "sampling.logit_bias": BOUNDED,
    "sampling.bad_words": BOUNDED,
    "stopping.max_tokens": BOUNDED,
    "stopping.min_tokens": BOUNDED,
    "stopping.stop": BOUNDED,
    "stopping.stop_token_ids": BOUNDED,
    "stopping.ignore_eos": FLAG,
    "stopping.include_stop_in_output": FLAG,
    "stopping.time_limit_ms": BOUNDED,
    "output.n": REFUSED,
    "output.best_of": REFUSED,
    "output.beam_width": REFUSED,
    "output.skip_special_tokens": FLAG,
    "output.token_details": FLAG,
    "output.logprobs": BOUNDED,
    "output.prompt_logprobs": REFUSED,
    "output.logprob_token_ids": BOUNDED,
    "guided": REFUSED,
    "priority": BOUNDED,
    "adapter": REFUSED,
    "cache_salt": BOUNDED,
    "bad_word_ids": BOUNDED,
    "bad_word_ids.ids": BOUNDED,
}
CHAT = {
    "messages": CONTEXT,
    "messages.role": "an enum; others are refused",
    "messages.parts": CONTEXT,
    "messages.parts.text": CONTEXT,
    "messages.parts.image": "refused by name",
    "messages.name": CONTEXT,
    "messages.tool_calls": CONTEXT,
    "messages.tool_calls.id": CONTEXT,
    "messages.tool_calls.name": CONTEXT,
    "messages.tool_calls.arguments_json": CONTEXT,
    "messages.tool_call_id": CONTEXT,
    "messages.reasoning": CONTEXT,
    "tools": CONTEXT,
    "tools.name": CONTEXT,
    "tools.description": CONTEXT,
    "tools.parameters_json": CONTEXT,
}
LOWERS = "can only lower the service's own bound"
ROWS: Mapping[str, Mapping[str, str]] = {
    "GenerateRequest": GENERATE,
    "StepStreamRequest": {
        "commands": BYTES,
        "commands.number": "compared with those that are live",
        "commands.submit.timeout_ns": "every number is a time",
        "commands.submit.metadata": "three keys are read, and cut off at their bounds",
        **{f"commands.submit.request.{path}": row for path, row in GENERATE.items()},
    },
    "AbortRequest": {"request_ids": "at most 1,024, compared with those that are live"},
    "PoolRequest": dict.fromkeys(
        ("request_id", "model", "inputs", "inputs.ids", "task", "normalize"), UNSERVED
    ),
    "GetLoadRequest": {},
    "GetEngineInfoRequest": {},
    "DrainRequest": {"grace": "refused by name"},
    "EncodeRequest": {
        "model": NAME,
        "inputs": "at most 256",
        "inputs.text": CONTEXT,
        "inputs.add_special_tokens": FLAG,
        "inputs.max_tokens": LOWERS,
    },
    "RenderChatRequest": {
        "model": NAME,
        **CHAT,
        "template_args": "at most 16 KiB",
        "continue_final_message": FLAG,
        "max_tokens": LOWERS,
    },
    "DecodeRequest": {
        "model": NAME,
        "inputs": "at most 256",
        "inputs.ids": BYTES,
        "skip_special_tokens": FLAG,
    },
    "GetTokenizerInfoRequest": {"model": NAME},
    "DetokenizeRequest": {
        "commands": BYTES,
        "commands.session": "compared with those that are open",
        "commands.open.model": NAME,
        "commands.open.prompt_tail_ids": BOUNDED,
        "commands.open.prior_output_ids": BOUNDED,
        "commands.open.stop": BOUNDED,
        "commands.open.min_tokens": "only compared with a count",
        "commands.open.skip_special_tokens": FLAG,
        "commands.open.include_stop_in_output": FLAG,
        "commands.open.token_texts": FLAG,
        "commands.push.first_position": BOUNDED,
        "commands.push.ids": BOUNDED,
        "commands.push.final": FLAG,
        "commands.push.aside_ids": BOUNDED,
    },
}
WHOLE = {"guided", "grace", "commands.submit.request.guided"}
FILES = (engine_service_pb2.DESCRIPTOR, tokenizer_service_pb2.DESCRIPTOR)

TOO_LARGE = 1 << 31
BROKEN: Mapping[str, dict[str, Any]] = {
    "request_id": {"request_id": "no blanks"},
    "prompt_token_ids": {"prompt_token_ids": [TOO_LARGE]},
    "prior_output_token_ids": {"prior_output_token_ids": [TOO_LARGE]},
    "output_index": {"output_index": 8},
    "sampling.temperature": {"sampling": {"temperature": -1.0}},
    "sampling.top_k": {"sampling": {"top_k": TOO_LARGE}},
    "sampling.top_p": {"sampling": {"top_p": 0.0}},
    "sampling.min_p": {"sampling": {"min_p": 2.0}},
    "sampling.typical_p": {"sampling": {"typical_p": 0.0}},
    "sampling.repetition_penalty": {"sampling": {"repetition_penalty": 0.0}},
    "sampling.presence_penalty": {"sampling": {"presence_penalty": 3.0}},
    "sampling.frequency_penalty": {"sampling": {"frequency_penalty": -3.0}},
    "sampling.length_penalty.start_index": {
        "sampling": {"length_penalty": {"start_index": TOO_LARGE, "decay_factor": 1.0}}
    },
    "sampling.length_penalty.decay_factor": {"sampling": {"length_penalty": {"start_index": 1}}},
    "sampling.logit_bias": {"sampling": {"logit_bias": {1: 101.0}}},
    "sampling.bad_words": {"sampling": {"bad_words": ["x"]}},
    "stopping.max_tokens": {"stopping": {"max_tokens": TOO_LARGE}},
    "stopping.min_tokens": {"stopping": {"min_tokens": TOO_LARGE}},
    "stopping.stop": {"stopping": {"stop": ["x"]}},
    "stopping.stop_token_ids": {"stopping": {"stop_token_ids": [TOO_LARGE]}},
    "stopping.time_limit_ms": {"stopping": {"time_limit_ms": 0}},
    "output.n": {"output": {"n": 2}},
    "output.best_of": {"output": {"best_of": 2}},
    "output.beam_width": {"output": {"beam_width": 1}},
    "output.logprobs": {"output": {"logprobs": 21}},
    "output.prompt_logprobs": {"output": {"prompt_logprobs": 0}},
    "output.logprob_token_ids": {"output": {"logprob_token_ids": [TOO_LARGE]}},
    "guided": {"guided": {"regex": "x"}},
    "priority": {"priority": 1001},
    "adapter": {"adapter": "x"},
    "cache_salt": {"cache_salt": ""},
    "bad_word_ids": {"bad_word_ids": [{"ids": [1]}] * 257},
    "bad_word_ids.ids": {"bad_word_ids": [{"ids": [TOO_LARGE]}]},
}
SESSIONS: Mapping[str, dict[str, Any]] = {
    "prompt_tail_ids": {"open": {"model": "m", "prompt_tail_ids": [TOO_LARGE]}},
    "prior_output_ids": {"open": {"model": "m", "prior_output_ids": [TOO_LARGE]}},
    "stop[0]": {"open": {"model": "m", "stop": [""]}},
    "first_position": {"push": {"first_position": TOO_LARGE, "ids": [1]}},
    "ids": {"push": {"ids": [TOO_LARGE]}},
    "aside_ids": {"push": {"aside_ids": [1] * 4097}},
}


def test_every_request_has_its_table() -> None:
    assert set(request_types(*FILES)) == set(ROWS)


@pytest.mark.parametrize("kind", ROWS)
def test_every_field_has_its_row_and_every_row_its_field(kind: str) -> None:
    assert sorted(field_paths(request_types(*FILES)[kind], WHOLE)) == sorted(ROWS[kind])


def test_all_that_is_said_to_be_refused_is_proven() -> None:
    proven = {path for path, row in GENERATE.items() if row in {BOUNDED, REFUSED}}
    assert set(BROKEN) == proven
    bounded = {path for path, row in ROWS["DetokenizeRequest"].items() if row == BOUNDED}
    assert {path.rpartition(".")[2] for path in bounded} == {f.split("[")[0] for f in SESSIONS}


@pytest.mark.parametrize("path", BROKEN)
def test_the_engine_refuses_a_field_beyond_its_bounds_by_name(path: str) -> None:
    good: Any = {"request_id": "r", "model": "demo", "prompt_token_ids": [1]}
    given: Any = {"sampling": {"seed": 1}, **BROKEN[path]}
    with pytest.raises(ServiceError) as caught:
        to_spec(generate_pb2.GenerateRequest(**{**good, **given}), LIMITS)
    error = caught.value
    assert type(error) is (Unsupported if GENERATE[path] == REFUSED else InvalidRequest)
    assert _without_indexes(error.field) == path


@pytest.mark.parametrize("field", SESSIONS)
def test_a_session_refuses_a_field_beyond_its_bounds_by_name(field: str) -> None:
    table = SessionTable(
        lambda _: loaded_family("byte_level").detokenizer, ttl_s=9.0, max_sessions=9
    )
    given: Any = SESSIONS[field]
    opening: Any = {"session": 1, "open": {"model": "m"}}
    commands = [] if "open" in given else [detokenize_pb2.SessionCommand(**opening)]
    commands.append(detokenize_pb2.SessionCommand(session=1, **given))
    message = detokenize_pb2.DetokenizeRequest(commands=commands)
    (update,) = table.apply(conversion.commands_of(message), 0.0)
    assert isinstance(update, Update)
    assert isinstance(update.outcome, InvalidRequest)
    assert update.outcome.field == field


def _without_indexes(field: str) -> str:
    return "".join(part.partition("]")[2] if "]" in part else part for part in field.split("["))
