"""Both clients against a scripted gateway: the same calls, the same values, the same errors."""

import asyncio
import inspect
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing
from typing import Any, Protocol

import pytest
from grpc_health.v1 import health_pb2

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import sampling_pb2
from steeple_client import (
    AsyncClient,
    Candidate,
    Client,
    Event,
    Finished,
    FinishReason,
    Generation,
    LengthPenalty,
    Message,
    Model,
    Started,
    TextDelta,
    Token,
    Usage,
    assistant,
    system,
    user,
)
from steeple_rpc.errors import (
    DeadlineExpired,
    EngineFault,
    InvalidRequest,
    Overloaded,
    ServiceError,
    Unavailable,
)
from steeple_rpc.lifecycle import Lifecycle
from tests.support.answers import (
    chat_events,
    chat_reply,
    generate_events,
    generate_reply,
    model,
    played,
    replied,
)
from tests.support.scripted import ScriptedInference, ScriptedModels
from tests.support.servers import Serving, serving

PATIENCE_S = 5.0
STARTED = Started(
    request_id="r",
    model="m",
    num_prompt_tokens=3,
    sampling={"seed": 7, "temperature": 0.0},
    stopping={"max_tokens": 9},
    max_tokens=9,
)
FINISHED = Finished(reason=FinishReason.EOS, stop=0)
USAGE = Usage(
    num_prompt_tokens=3,
    num_completion_tokens=1,
    num_cached_prompt_tokens=1,
    queue_s=1.0,
    prefill_s=2.0,
    decode_s=3.0,
    total_s=7.0,
)


class Calls(Protocol):
    """What both clients can do, awaited."""

    async def generate(self, prompt: str | Sequence[int], **options: Any) -> Generation: ...

    async def generate_stream(self, prompt: str | Sequence[int], **options: Any) -> list[Event]: ...

    async def chat(self, messages: Sequence[Message], **options: Any) -> Generation: ...

    async def chat_stream(self, messages: Sequence[Message], **options: Any) -> list[Event]: ...

    async def models(self) -> list[Model]: ...

    async def model(self, name: str = "") -> Model: ...

    async def wait_until_ready(self, timeout_s: float) -> None: ...


class Threaded:
    """The blocking client, used from a thread."""

    def __init__(self, client: Client) -> None:
        self._client = client

    async def generate(self, prompt: str | Sequence[int], **options: Any) -> Generation:
        return await asyncio.to_thread(self._client.generate, prompt, **options)

    async def generate_stream(self, prompt: str | Sequence[int], **options: Any) -> list[Event]:
        return await asyncio.to_thread(
            lambda: list(self._client.generate_stream(prompt, **options))
        )

    async def chat(self, messages: Sequence[Message], **options: Any) -> Generation:
        return await asyncio.to_thread(self._client.chat, messages, **options)

    async def chat_stream(self, messages: Sequence[Message], **options: Any) -> list[Event]:
        return await asyncio.to_thread(lambda: list(self._client.chat_stream(messages, **options)))

    async def models(self) -> list[Model]:
        return await asyncio.to_thread(self._client.models)

    async def model(self, name: str = "") -> Model:
        return await asyncio.to_thread(self._client.model, name)

    async def wait_until_ready(self, timeout_s: float) -> None:
        await asyncio.to_thread(self._client.wait_until_ready, timeout_s)


class Asynchronous:
    """The asyncio client, its streams read to the end."""

    def __init__(self, client: AsyncClient) -> None:
        self._client = client
        # Their keywords are named one by one; here they are any.
        self.generate: Any = client.generate
        self.chat: Any = client.chat
        self.models = client.models
        self.model = client.model
        self.wait_until_ready = client.wait_until_ready

    async def generate_stream(self, prompt: str | Sequence[int], **options: Any) -> list[Event]:
        async with aclosing(self._client.generate_stream(prompt, **options)) as events:
            return [event async for event in events]

    async def chat_stream(self, messages: Sequence[Message], **options: Any) -> list[Event]:
        async with aclosing(self._client.chat_stream(messages, **options)) as events:
            return [event async for event in events]


@pytest.fixture
def script() -> ScriptedInference:
    return ScriptedInference()


@pytest.fixture
def models() -> ScriptedModels:
    return ScriptedModels()


@pytest.fixture
async def served(script: ScriptedInference, models: ScriptedModels) -> AsyncIterator[Serving]:
    async with serving(script.add_to, models.add_to) as served:
        yield served


@pytest.fixture(params=["sync", "async"])
async def calls(served: Serving, request: pytest.FixtureRequest) -> AsyncIterator[Calls]:
    if request.param == "sync":
        with Client(served.address) as client:
            yield Threaded(client)
    else:
        async with AsyncClient(served.address) as client:
            yield Asynchronous(client)


async def refusal(call: Any) -> ServiceError:
    with pytest.raises(ServiceError) as caught:
        await call
    return caught.value


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


@pytest.mark.parametrize("name", ["stop", "bad_words"])
async def test_a_single_text_is_no_list(calls: Calls, name: str) -> None:
    """Taken for one, each of its letters would count."""
    with pytest.raises(TypeError, match=name):
        await calls.generate("x", **{name: "END"})


@pytest.mark.parametrize("way", ["generate", "generate_stream", "chat", "chat_stream"])
async def test_an_unknown_option_is_refused_before_it_is_sent(
    calls: Calls, script: ScriptedInference, way: str
) -> None:
    prompt: Any = "x" if way.startswith("generate") else [user("x")]
    with pytest.raises(TypeError, match="temprature"):
        await getattr(calls, way)(prompt, temprature=0.5)
    assert script.requests == []


@pytest.mark.parametrize("options", [{"max_tokens": -1}, {"max_tokens": 1 << 40}, {"seed": -1}])
async def test_a_number_that_cannot_travel_is_an_invalid_request(
    calls: Calls, script: ScriptedInference, options: dict[str, int]
) -> None:
    """As the server would have said, could it have been asked."""
    error = await refusal(calls.generate("x", **options))
    assert isinstance(error, InvalidRequest)
    assert script.requests == []


async def test_a_text_that_is_no_unicode_is_an_invalid_request(calls: Calls) -> None:
    """Half a surrogate pair: what Python makes of undecodable bytes on its command line."""
    assert isinstance(await refusal(calls.generate("\ud800")), InvalidRequest)
    assert isinstance(await refusal(calls.chat([user("\udcff")])), InvalidRequest)


@pytest.mark.parametrize("way", ["generate", "generate_stream", "chat", "chat_stream"])
async def test_a_refusal_is_typed_and_whole(
    calls: Calls, script: ScriptedInference, way: str
) -> None:
    sent = Overloaded("full", reason="QUEUE_FULL", field="model", retry_after_s=2.0)
    setattr(script, way, played([], sent) if way.endswith("stream") else replied(sent))
    prompt: Any = "x" if way.startswith("generate") else [user("x")]
    error = await refusal(getattr(calls, way)(prompt))
    assert isinstance(error, Overloaded)
    assert vars(error) == vars(sent)


async def test_events_before_an_error_arrive(served: Serving, script: ScriptedInference) -> None:
    script.generate_stream = played(generate_events("4")[:2], EngineFault("internal error 1"))
    async with (
        AsyncClient(served.address) as client,
        aclosing(client.generate_stream("x")) as events,
    ):
        assert await anext(events) == STARTED
        assert isinstance(await anext(events), TextDelta)
        with pytest.raises(EngineFault):
            await anext(events)


async def test_an_event_of_a_later_contract_is_no_usage(
    calls: Calls, script: ScriptedInference
) -> None:
    """Taken for a usage of zero it would end the answer with wrong numbers."""
    empty = type(generate_events()[0])()
    script.generate_stream = played([empty])
    assert isinstance(await refusal(calls.generate_stream("x")), EngineFault)


async def test_a_time_limit_ends_the_call(calls: Calls, script: ScriptedInference) -> None:
    async def never(_: Any) -> Any:
        await asyncio.Event().wait()

    script.generate = never
    error = await refusal(calls.generate("x", timeout_s=0.05))
    assert isinstance(error, DeadlineExpired)
    assert error.reason == DeadlineExpired.default_reason


async def test_a_server_that_is_not_there_is_unavailable() -> None:
    async with AsyncClient("127.0.0.1:1") as client:
        assert isinstance(await refusal(client.generate("x")), Unavailable)
    with Client("127.0.0.1:1") as blocking:
        error = await refusal(asyncio.to_thread(blocking.generate, "x"))
    assert isinstance(error, Unavailable)


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


async def test_a_client_that_waits_returns_once_the_gateway_serves(
    served: Serving, calls: Calls
) -> None:
    """Not before: the port is open long before the models are loaded."""
    lifecycle = Lifecycle(served.health)
    await lifecycle.start()
    waiting = asyncio.ensure_future(calls.wait_until_ready(PATIENCE_S))
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    await lifecycle.set_ready(ready=True)
    await waiting


@pytest.mark.parametrize("kind", ["sync", "async"])
async def test_a_client_that_waits_may_come_before_the_gateway(kind: str) -> None:
    """The port is closed when the waiting begins; the server starts after the first refusal."""
    async with serving() as placeholder:
        address = placeholder.address
    if kind == "sync":
        with Client(address) as client:
            waiting = asyncio.ensure_future(asyncio.to_thread(client.wait_until_ready, PATIENCE_S))
            await _serve_until(waiting, address)
    else:
        async with AsyncClient(address) as aclient:
            await _serve_until(asyncio.ensure_future(aclient.wait_until_ready(PATIENCE_S)), address)


async def _serve_until(waiting: "asyncio.Future[None]", address: str) -> None:
    await asyncio.wait({waiting}, timeout=0.05)
    assert not waiting.done()
    async with serving(listen=address) as served:
        await served.health.set("", health_pb2.HealthCheckResponse.SERVING)
        await waiting


async def test_waiting_has_its_limit(served: Serving, calls: Calls) -> None:
    await Lifecycle(served.health).start()
    error = await refusal(calls.wait_until_ready(0.1))
    assert isinstance(error, DeadlineExpired)
    assert error.reason == "NOT_READY"
