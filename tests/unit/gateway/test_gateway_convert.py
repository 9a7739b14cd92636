"""Between public messages and the gateway's values."""

from typing import Any

import pytest

from gateway import convert
from gateway.values import (
    Candidate,
    ChatPrompt,
    Finished,
    FinishReason,
    LogprobsWanted,
    Started,
    TextDelta,
    TextPrompt,
    Token,
    TokenPrompt,
    Usage,
)
from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import finish_reason_pb2, tokens_pb2
from steeple.inference.v1 import chat_pb2, generate_pb2
from steeple_rpc.errors import InvalidRequest, Unsupported

ROLE_USER = common_chat_pb2.ROLE_USER


def turn(text: str, **given: Any) -> common_chat_pb2.ChatMessage:
    parts = [common_chat_pb2.ContentPart(text=text)]
    return common_chat_pb2.ChatMessage(**{"role": ROLE_USER, "parts": parts, **given})


def test_what_is_unset_stays_unset() -> None:
    """The engine knows the model's defaults; the gateway fills in the seed alone."""
    request = convert.from_generate(generate_pb2.GenerateRequest(text="x"))
    assert request.model == ""
    assert request.prompt == TextPrompt("x")
    assert list(request.sampling) == ["seed"]
    assert request.stopping == {}
    assert request.stop == ()
    assert request.max_tokens is None
    assert request.min_tokens == 0
    assert request.truncate_prompt_tokens is None
    assert request.skip_special_tokens is True
    assert request.include_stop_in_output is False
    assert request.token_details is False
    assert request.priority == 0


def test_a_missing_seed_and_id_are_drawn_anew_each_time() -> None:
    requests = [convert.from_generate(generate_pb2.GenerateRequest(text="x")) for _ in range(2)]
    assert len({request.sampling["seed"] for request in requests}) == 2
    assert len({request.request_id for request in requests}) == 2
    assert all(0 <= int(str(r.sampling["seed"])) < 1 << 64 for r in requests)


def test_a_given_zero_is_given() -> None:
    message = generate_pb2.GenerateRequest(text="x")
    message.sampling.seed = 0
    message.sampling.temperature = 0.0
    message.output.skip_special_tokens = False
    request = convert.from_generate(message)
    assert request.sampling == {"seed": 0, "temperature": 0.0}
    assert request.skip_special_tokens is False


def test_every_option_arrives() -> None:
    message = generate_pb2.GenerateRequest(
        request_id="r", model="m", token_ids=tokens_pb2.TokenIds(ids=[1, 2])
    )
    message.stopping.max_tokens = 4
    message.stopping.min_tokens = 2
    message.stopping.stop.append("x")
    message.stopping.stop_token_ids.append(9)
    message.stopping.include_stop_in_output = True
    message.output.token_details = True
    message.truncate_prompt_tokens = 5
    message.priority = -3
    request = convert.from_generate(message)
    assert (request.request_id, request.model) == ("r", "m")
    assert request.prompt == TokenPrompt((1, 2))
    assert (request.max_tokens, request.min_tokens, request.stop) == (4, 2, ("x",))
    assert (request.truncate_prompt_tokens, request.priority) == (5, -3)
    assert request.include_stop_in_output
    assert request.token_details
    assert "stop" not in request.stopping
    assert set(request.stopping) == {
        "max_tokens",
        "min_tokens",
        "stop_token_ids",
        "include_stop_in_output",
    }


def test_parameters_travel_as_values_of_our_own() -> None:
    """Nothing that changes with the message, or keeps it alive; words are not the engine's."""
    message = generate_pb2.GenerateRequest(text="x", cache_salt="s")
    message.sampling.seed = 1
    message.sampling.length_penalty.decay_factor = 2.0
    message.sampling.logit_bias[5] = -1.0
    message.sampling.bad_words.append("fox")
    message.stopping.stop_token_ids.append(9)
    request = convert.from_generate(message)
    message.Clear()
    assert request.sampling == {
        "seed": 1,
        "length_penalty": {"decay_factor": 2.0},
        "logit_bias": {5: -1.0},
    }
    assert request.stopping == {"stop_token_ids": (9,)}
    assert (request.bad_words, request.cache_salt) == (("fox",), "s")


def test_log_probabilities_imply_that_tokens_are_told() -> None:
    message = generate_pb2.GenerateRequest(text="x")
    assert not convert.from_generate(message).tells_tokens
    message.output.logprobs = 0
    assert convert.from_generate(message).logprobs == LogprobsWanted()
    assert convert.from_generate(message).tells_tokens
    message.output.ClearField("logprobs")
    message.output.logprob_token_ids.extend([3, 1])
    assert convert.from_generate(message).logprobs == LogprobsWanted(token_ids=(3, 1))


def test_a_tokens_odds_arrive_on_the_wire() -> None:
    top = (Candidate(token_id=9, text="i", logprob=-0.5),)
    plain = Token(token_id=5, text="a")
    told = Token(token_id=5, text="a", logprob=-1.5, rank=2, top=top)
    without, message = convert.token_messages((plain, told))
    assert not without.HasField("logprob")
    assert not without.HasField("rank")
    assert (message.logprob, message.rank) == (-1.5, 2)
    assert [(other.id, other.text, other.logprob) for other in message.top] == [(9, "i", -0.5)]


def test_an_empty_id_is_the_callers_own_and_wrong() -> None:
    """Unset means one is made; an empty text is what the caller sent, and validation sees it."""
    message = generate_pb2.GenerateRequest(text="x", request_id="")
    assert convert.from_generate(message).request_id == ""


def test_a_prompt_is_required() -> None:
    with pytest.raises(InvalidRequest) as caught:
        convert.from_generate(generate_pb2.GenerateRequest())
    assert (caught.value.reason, caught.value.field) == ("EMPTY_PROMPT", "prompt")


@pytest.mark.parametrize("convert_it", [convert.from_generate, convert.from_chat])
def test_parameters_are_checked_before_anything_else(convert_it: Any) -> None:
    generating = convert_it is convert.from_generate
    message: Any = generate_pb2.GenerateRequest() if generating else chat_pb2.ChatRequest()
    message.sampling.top_k = 1 << 30
    with pytest.raises(InvalidRequest) as caught:
        convert_it(message)
    assert caught.value.field == "sampling.top_k"


def test_a_conversation_arrives_turn_by_turn() -> None:
    call = common_chat_pb2.ToolCall(id="c1", name="add", arguments_json="{}")
    message = chat_pb2.ChatRequest(
        messages=[
            turn("be brief", role=common_chat_pb2.ROLE_SYSTEM),
            turn("hi", name="ann"),
            turn("", role=common_chat_pb2.ROLE_ASSISTANT, tool_calls=[call], reasoning="hm"),
            turn("4", role=common_chat_pb2.ROLE_TOOL, tool_call_id="c1"),
        ],
        template_args={"k": "v"},
        continue_final_message=True,
    )
    prompt = convert.from_chat(message).prompt
    assert isinstance(prompt, ChatPrompt)
    assert [m.role for m in prompt.messages] == ["system", "user", "assistant", "tool"]
    assert prompt.messages[1].name == "ann"
    assert prompt.messages[1].parts == ("hi",)
    assert prompt.messages[2].tool_calls[0].call_id == "c1"
    assert prompt.messages[2].reasoning == "hm"
    assert prompt.messages[3].tool_call_id == "c1"
    assert prompt.messages[0].name is None
    assert (prompt.template_args, prompt.continue_final_message) == ({"k": "v"}, True)


def test_a_turn_without_a_role_is_named() -> None:
    message = chat_pb2.ChatRequest(
        messages=[turn("a"), turn("b", role=common_chat_pb2.ROLE_UNSPECIFIED)]
    )
    with pytest.raises(InvalidRequest) as caught:
        convert.from_chat(message)
    assert (caught.value.field, caught.value.reason) == ("messages[1].role", "BAD_ROLE")


def test_a_role_of_a_later_contract_is_named() -> None:
    unknown: Any = 99  # open enums take any number
    with pytest.raises(InvalidRequest) as caught:
        convert.from_chat(chat_pb2.ChatRequest(messages=[turn("b", role=unknown)]))
    assert caught.value.field == "messages[0].role"


def test_an_image_is_refused_by_name() -> None:
    parts = [common_chat_pb2.ContentPart(text="a"), common_chat_pb2.ContentPart(image=b"x")]
    with pytest.raises(Unsupported) as caught:
        convert.from_chat(chat_pb2.ChatRequest(messages=[turn("", parts=parts)]))
    assert caught.value.field == "messages[0].parts[1].image"


def test_every_finish_reason_has_its_number() -> None:
    known = set(finish_reason_pb2.FinishReason.values()) - {0}
    numbers = {convert.finish_reason_number(Finished(reason=r)) for r in FinishReason}
    assert numbers == known


@pytest.mark.parametrize(
    ("event", "matched"),
    [
        (Finished(reason=FinishReason.MAX_TOKENS), None),
        (
            Finished(reason=FinishReason.STOP_STRING, stop_text="x"),
            finish_reason_pb2.MatchedStop(text="x"),
        ),
        (
            Finished(reason=FinishReason.EOS, stop_token_id=0),
            finish_reason_pb2.MatchedStop(token_id=0),
        ),
    ],
)
def test_what_matched_is_told(event: Finished, matched: object) -> None:
    assert convert.matched_stop(event) == matched
    message = convert.finished_message(event)
    assert message.HasField("matched_stop") is (matched is not None)
    assert message.finish_reason == convert.finish_reason_number(event)


def test_events_arrive_on_the_wire_whole() -> None:
    started = convert.started_message(
        Started(
            request_id="r",
            model="m",
            num_prompt_tokens=3,
            sampling={"seed": 7, "temperature": 0.0},
            stopping={"max_tokens": 9, "stop": ("x",)},
        )
    )
    assert (started.request_id, started.model, started.prompt_tokens) == ("r", "m", 3)
    assert started.sampling.seed == 7
    assert started.sampling.HasField("temperature")
    assert list(started.stopping.stop) == ["x"]
    token = Token(token_id=5, text="a")
    delta = convert.delta_message(TextDelta(text="a", num_completion_tokens=1, tokens=(token,)))
    assert (delta.text, delta.completion_tokens) == ("a", 1)
    assert [(t.id, t.text) for t in delta.tokens] == [(5, "a")]
    usage = convert.usage_message(
        Usage(
            num_prompt_tokens=1,
            num_completion_tokens=2,
            num_cached_prompt_tokens=3,
            tokenize_ns=4,
            queue_ns=5,
            prefill_ns=6,
            decode_ns=7,
            total_ns=8,
        )
    )
    assert (usage.prompt_tokens, usage.completion_tokens, usage.cached_prompt_tokens) == (1, 2, 3)
    timings = usage.timings
    assert (timings.tokenize_ns, timings.queue_ns, timings.prefill_ns) == (4, 5, 6)
    assert (timings.decode_ns, timings.total_ns) == (7, 8)
