"""Both clients against a scripted gateway: the same calls, the same values."""

import inspect

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import sampling_pb2
from steeple_client import (
    AsyncClient,
    Candidate,
    Client,
    Generation,
    LengthPenalty,
    Model,
    ModelEngine,
    TextDelta,
    Token,
    assistant,
    system,
    user,
)
from tests.support.answers import (
    chat_events,
    chat_reply,
    generate_events,
    generate_reply,
    model,
    played,
    replied,
)
from tests.support.client_calls import FINISHED, STARTED, USAGE, Calls
from tests.support.scripted import ScriptedInference, ScriptedModels


async def test_a_stream_is_told_event_by_event(calls: Calls, script: ScriptedInference) -> None:
    script.generate_stream = played(generate_events("4"))
    assert await calls.generate_stream("2+2=") == [
        STARTED,
        TextDelta(text="4", num_completion_tokens=1, tokens=(Token(token_id=1, text="4"),)),
        FINISHED,
        USAGE,
    ]
    assert script.requests[0].text == "2+2="


async def test_a_conversation_is_told_event_by_event(
    calls: Calls, script: ScriptedInference
) -> None:
    script.chat_stream = played(chat_events("4"))
    messages = [system("be brief"), user("2+2?"), assistant("4"), user("sure?")]
    assert await calls.chat_stream(messages) == [
        STARTED,
        TextDelta(text="4", num_completion_tokens=1),
        FINISHED,
        USAGE,
    ]
    assert [(m.role, m.parts[0].text) for m in script.requests[0].messages] == [
        (common_chat_pb2.ROLE_SYSTEM, "be brief"),
        (common_chat_pb2.ROLE_USER, "2+2?"),
        (common_chat_pb2.ROLE_ASSISTANT, "4"),
        (common_chat_pb2.ROLE_USER, "sure?"),
    ]


async def test_a_whole_answer_has_all_of_it(calls: Calls, script: ScriptedInference) -> None:
    script.generate = replied(generate_reply("4"))
    script.chat = replied(chat_reply("5"))
    assert await calls.generate("2+2=") == Generation(
        text="4",
        started=STARTED,
        finished=FINISHED,
        usage=USAGE,
        tokens=(Token(token_id=1, text="4"),),
    )
    assert (await calls.chat([user("2+3?")])).text == "5"


async def test_token_ids_are_a_prompt_too(calls: Calls, script: ScriptedInference) -> None:
    script.generate = replied(generate_reply("4"))
    await calls.generate([1, 2, 3])
    assert list(script.requests[0].token_ids.ids) == [1, 2, 3]


async def test_only_given_options_are_sent(calls: Calls, script: ScriptedInference) -> None:
    """What is left out is the server's to decide; a given zero is given."""
    script.generate = replied(generate_reply("4"))
    await calls.generate("x")
    await calls.generate(
        "x",
        model="m",
        request_id="r",
        temperature=0.0,
        seed=0,
        max_tokens=5,
        stop=["a", "b"],
        stop_token_ids=[9],
        skip_special_tokens=False,
        token_details=True,
        truncate_prompt_tokens=7,
        priority=-1,
    )
    bare, full = script.requests
    for part in ("sampling", "stopping", "output"):
        assert getattr(bare, part).ListFields() == []
    assert not bare.HasField("model")
    assert not bare.HasField("request_id")
    assert not bare.HasField("priority")
    assert (full.model, full.request_id, full.truncate_prompt_tokens) == ("m", "r", 7)
    assert full.priority == -1
    assert full.sampling.HasField("temperature")
    assert full.sampling.HasField("seed")
    assert (full.stopping.max_tokens, list(full.stopping.stop)) == (5, ["a", "b"])
    assert list(full.stopping.stop_token_ids) == [9]
    assert full.output.skip_special_tokens is False
    assert full.output.HasField("skip_special_tokens")
    assert full.output.token_details


async def test_every_parameter_is_sent(calls: Calls, script: ScriptedInference) -> None:
    script.generate = replied(generate_reply("4"))
    await calls.generate(
        "x",
        typical_p=0.5,
        repetition_penalty=1.5,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        length_penalty=LengthPenalty(start_index=3, decay_factor=1.5),
        logit_bias={5: -1.0},
        bad_words=["fox"],
        time_limit_ms=50,
        logprobs=2,
        cache_salt="s",
    )
    await calls.generate("x", logprob_token_ids=[3, 1])
    request, by_id = script.requests
    assert request.sampling == sampling_pb2.SamplingParams(
        typical_p=0.5,
        repetition_penalty=1.5,
        presence_penalty=0.5,
        frequency_penalty=-0.5,
        length_penalty=sampling_pb2.LengthPenalty(start_index=3, decay_factor=1.5),
        logit_bias={5: -1.0},
        bad_words=["fox"],
    )
    assert (request.stopping.time_limit_ms, request.cache_salt) == (50, "s")
    assert request.output == sampling_pb2.OutputParams(logprobs=2)
    assert by_id.output == sampling_pb2.OutputParams(logprob_token_ids=[3, 1])


async def test_a_tokens_odds_are_told(calls: Calls, script: ScriptedInference) -> None:
    reply = generate_reply("4")
    detail = reply.outputs[0].tokens[0]
    detail.logprob, detail.rank = -1.5, 2
    detail.top.add(id=9, text="i", logprob=-0.5)
    script.generate = replied(reply)
    (token,) = (await calls.generate("x", logprobs=1)).tokens
    top = (Candidate(token_id=9, text="i", logprob=-0.5),)
    assert token == Token(token_id=1, text="4", logprob=-1.5, rank=2, top=top)


ENGINE = ModelEngine(
    runner="fms",
    device="cpu",
    scheduler="continuous",
    load_s=2.5,
    weights_bytes=10,
    kv_cache_bytes=20,
    kv_tokens=160,
    max_num_seqs=4,
    max_concurrency=1.5,
    version="0.1.0",
)


async def test_a_model_tells_its_room_over_all_engines(
    calls: Calls, models: ScriptedModels
) -> None:
    models.models = [model("m", num_engines=2)]
    assert await calls.model() == Model(
        name="m",
        architecture="GraniteForCausalLM",
        max_model_len=100,
        vocab_size=1000,
        dtype="float32",
        kv_tokens=320,
        max_concurrency=3.0,
        num_engines=2,
        weights_bytes=10,
        kv_cache_bytes=40,
        engines=(ENGINE, ENGINE),
    )


async def test_all_models_are_listed_however_many_pages(
    calls: Calls, models: ScriptedModels
) -> None:
    models.models, models.page = [model(name) for name in "abcde"], 2
    assert [each.name for each in await calls.models()] == list("abcde")


def test_both_clients_can_do_the_same() -> None:
    """By the same names, with the same parameters."""
    sync, awaited = _public(Client), _public(AsyncClient)
    assert sync.keys() == awaited.keys()
    for name, parameters in sync.items():
        assert parameters == awaited[name], name


def _public(client: type) -> dict[str, list[str]]:
    return {
        name: list(inspect.signature(method).parameters)
        for name, method in vars(client).items()
        if not name.startswith("_")
    }
