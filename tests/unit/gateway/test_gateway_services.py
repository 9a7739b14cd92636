"""The public RPCs over a real channel; everything behind the gateway is scripted."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import grpc
import pytest
from google.protobuf.message import Message

from gateway.admission import Admission
from gateway.pipeline import Pipeline
from gateway.request_limits import RequestLimits
from gateway.services.embedding import EmbeddingService
from gateway.services.inference import InferenceService
from gateway.services.models import ModelService
from gateway.values import FinishReason
from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import finish_reason_pb2
from steeple.inference.v1 import (
    chat_pb2,
    embedding_service_pb2,
    embedding_service_pb2_grpc,
    generate_pb2,
    inference_service_pb2_grpc,
    model_service_pb2,
    model_service_pb2_grpc,
)
from steeple_rpc.channel import open_channel
from steeple_rpc.errors import Aborted, InvalidRequest, NotFound, Unsupported
from tests.support.gateway_fakes import (
    EOS,
    FINGERPRINT,
    MODEL,
    FakeBackends,
    FakeEngine,
    FakeUpstream,
    catalog_of,
    ended,
    engine_state,
    first,
    tokenizer_facts,
    tokens,
)
from tests.support.servers import drained, failure, serving
from tests.support.waiting import LIMIT_S

Finish = finish_reason_pb2.FinishReason
# They exist in the stubs only, and differ by service.
Stub = Any


@pytest.fixture
def engine() -> FakeEngine:
    return FakeEngine([first(), tokens(0, 5), ended(1, 6)])


@pytest.fixture
def backends(engine: FakeEngine) -> FakeBackends:
    return FakeBackends(catalog_of(engine_state()), [FakeUpstream(engine)])


@pytest.fixture
async def channel(backends: Any) -> AsyncIterator[grpc.aio.Channel]:
    clock = asyncio.get_running_loop().time
    pipeline = Pipeline(backends, Admission(), clock, RequestLimits(max_request_s=60.0))

    def add(server: grpc.aio.Server) -> None:
        inference_service_pb2_grpc.add_InferenceServiceServicer_to_server(
            InferenceService(pipeline), server
        )
        model_service_pb2_grpc.add_ModelServiceServicer_to_server(ModelService(backends), server)
        embedding_service_pb2_grpc.add_EmbeddingServiceServicer_to_server(
            EmbeddingService(), server
        )

    async with serving(add) as served, open_channel(served.address) as channel:
        yield channel


@pytest.fixture
def inference(channel: grpc.aio.Channel) -> Stub:
    return inference_service_pb2_grpc.InferenceServiceStub(channel)


@pytest.fixture
def models(channel: grpc.aio.Channel) -> Stub:
    return model_service_pb2_grpc.ModelServiceStub(channel)


def conversation(kind: type[Any], text: str = "hi") -> Any:
    request = kind()
    request.messages.add(role=common_chat_pb2.ROLE_USER).parts.add(text=text)
    return request


def kinds(events: list[Message]) -> list[str]:
    return [str(event.WhichOneof("event")) for event in events]


async def test_generate_answers_at_once(inference: Stub) -> None:
    reply = await inference.Generate(generate_pb2.GenerateRequest(text="abc"))
    (output,) = reply.outputs
    assert output.text == "<5><6>"
    assert output.finish_reason == Finish.FINISH_REASON_MAX_TOKENS
    assert not output.HasField("matched_stop")
    assert output.completion_tokens == reply.usage.completion_tokens == 2
    assert reply.started.prompt_tokens == reply.usage.prompt_tokens == 3
    assert reply.started.model == MODEL
    assert list(output.tokens) == []


async def test_generate_stream_tells_start_text_end_and_usage(inference: Stub) -> None:
    call = inference.GenerateStream(generate_pb2.GenerateStreamRequest(text="abc"))
    events = await drained(call)
    assert kinds(events) == ["started", "delta", "finished", "usage"]
    assert events[1].delta.text == "<5><6>"
    assert events[3].usage.completion_tokens == 2


async def test_chat_answers_with_the_assistants_turn(inference: Stub) -> None:
    reply = await inference.Chat(conversation(chat_pb2.ChatRequest))
    (output,) = reply.outputs
    assert output.message.role == common_chat_pb2.ROLE_ASSISTANT
    assert [part.text for part in output.message.parts] == ["<5><6>"]
    assert output.completion_tokens == 2


async def test_chat_stream_tells_start_text_end_and_usage(inference: Stub) -> None:
    events = await drained(inference.ChatStream(conversation(chat_pb2.ChatStreamRequest)))
    assert kinds(events) == ["started", "delta", "finished", "usage"]
    assert (events[1].delta.text, events[1].delta.completion_tokens) == ("<5><6>", 2)


async def test_a_whole_reply_tells_its_tokens_and_what_ended_it(
    inference: Stub, engine: FakeEngine
) -> None:
    end = ended(1, EOS, reason=FinishReason.EOS, stop_token_id=EOS)
    engine.updates = [first(), tokens(0, 5), end]
    request = generate_pb2.GenerateRequest(text="abc")
    request.output.token_details = True
    (output,) = (await inference.Generate(request)).outputs
    assert [(token.id, token.text) for token in output.tokens] == [(5, "<5>"), (EOS, "")]
    assert output.matched_stop.token_id == EOS


@pytest.mark.parametrize("rpc", ["Generate", "GenerateStream", "Chat", "ChatStream"])
async def test_a_request_that_somebody_ended_before_it_started_is_aborted(
    inference: Stub, engine: FakeEngine, rpc: str
) -> None:
    """There is nothing to answer with; it is no fault of ours either."""
    engine.updates = [ended(0, reason=FinishReason.ABORTED)]
    request = (
        getattr(generate_pb2, f"{rpc}Request")(text="x")
        if rpc.startswith("Generate")
        else conversation(getattr(chat_pb2, f"{rpc}Request"))
    )
    call = getattr(inference, rpc)(request)
    assert isinstance(await failure(drained(call) if "Stream" in rpc else call), Aborted)


async def test_a_caller_who_leaves_ends_the_engines_call(
    inference: Stub, engine: FakeEngine
) -> None:
    engine.updates, engine.hangs = [first(), tokens(0, 5)], True
    call = inference.GenerateStream(generate_pb2.GenerateStreamRequest(text="x"))
    await call.read()
    assert engine.num_running == 1
    call.cancel()
    async with asyncio.timeout(LIMIT_S):
        await engine.left.wait()


async def test_the_callers_deadline_reaches_the_engine(inference: Stub, engine: FakeEngine) -> None:
    await inference.Generate(generate_pb2.GenerateRequest(text="x"), timeout=30.0)
    (timeout_s,) = engine.timeouts
    assert timeout_s is not None
    # grpc rounds a deadline up by up to some per cent on its way.
    assert 20.0 < timeout_s < 32.0


@pytest.mark.parametrize("rpc", ["Generate", "GenerateStream"])
async def test_a_bad_request_is_refused_by_name(
    inference: Stub, engine: FakeEngine, rpc: str
) -> None:
    request = getattr(generate_pb2, f"{rpc}Request")(text="x")
    request.sampling.top_p = 0.0
    call = getattr(inference, rpc)(request)
    error = await failure(call if rpc == "Generate" else drained(call))
    assert isinstance(error, InvalidRequest)
    assert error.field == "sampling.top_p"
    assert engine.requests == []


@pytest.mark.parametrize("rpc", ["Embed", "Rerank", "Score", "Classify"])
async def test_what_is_not_built_is_refused(channel: grpc.aio.Channel, rpc: str) -> None:
    stub: Stub = embedding_service_pb2_grpc.EmbeddingServiceStub(channel)
    request = getattr(embedding_service_pb2, f"{rpc}Request")()
    assert isinstance(await failure(getattr(stub, rpc)(request)), Unsupported)


async def test_a_model_tells_its_limits_and_its_room(models: Stub) -> None:
    model = (await models.GetModel(model_service_pb2.GetModelRequest())).model
    assert (model.name, model.architecture, model.dtype) == (
        MODEL,
        "GraniteForCausalLM",
        "float32",
    )
    assert (model.max_model_len, model.vocab_size, model.default_max_tokens) == (100, 1000, 50)
    assert model.default_sampling.temperature == 1.0
    assert model.tokenizer_fingerprint == FINGERPRINT
    assert list(model.capabilities) == [
        model_service_pb2.MODEL_CAPABILITY_GENERATE,
        model_service_pb2.MODEL_CAPABILITY_CHAT,
    ]
    (engine,) = model.engines
    assert engine.ready
    assert (engine.kv_tokens, engine.max_num_seqs, engine.max_concurrency) == (160, 1, 1.0)
    assert (engine.weights_bytes, engine.kv_cache_bytes) == (1, 2)
    assert (engine.runner, engine.load_ns, engine.version) == ("fms", 3, "0.1.0")


async def test_a_model_without_a_template_cannot_chat(models: Stub, backends: FakeBackends) -> None:
    plain = tokenizer_facts(has_chat_template=False)
    backends.now = catalog_of(engine_state(), **{MODEL: plain})
    model = (await models.GetModel(model_service_pb2.GetModelRequest(name=MODEL))).model
    assert list(model.capabilities) == [model_service_pb2.MODEL_CAPABILITY_GENERATE]


async def test_several_engines_limit_a_model_by_the_smallest(
    models: Stub, backends: FakeBackends
) -> None:
    backends.now = catalog_of(engine_state(0), engine_state(1, max_model_len=64))
    model = (await models.GetModel(model_service_pb2.GetModelRequest())).model
    assert model.max_model_len == 64
    assert len(model.engines) == 2


async def test_an_unknown_model_is_not_found_by_its_field(models: Stub) -> None:
    error = await failure(models.GetModel(model_service_pb2.GetModelRequest(name="gpt")))
    assert isinstance(error, NotFound)
    assert error.field == "name"


async def test_models_are_listed_page_by_page(models: Stub, backends: FakeBackends) -> None:
    """By name; a model that cannot be served now is left out."""
    names = ["a", "b", "c"]
    backends.now = catalog_of(
        *(engine_state(i, model=name) for i, name in enumerate(names)),
        engine_state(9, model="away"),
        **{name: tokenizer_facts() for name in names},
    )
    seen, token = [], ""
    while True:
        request = model_service_pb2.ListModelsRequest(page_size=2, page_token=token)
        page = await models.ListModels(request)
        seen.append([model.name for model in page.models])
        token = page.next_page_token
        if not token:
            break
    assert seen == [["a", "b"], ["c"]]


@pytest.mark.parametrize("size", [0, 1001, (1 << 32) - 1])
async def test_a_page_has_its_bounds(models: Stub, size: int) -> None:
    request = model_service_pb2.ListModelsRequest(page_size=size)
    error = await failure(models.ListModels(request))
    assert isinstance(error, InvalidRequest)
    assert (error.field, error.reason) == ("page_size", "OUT_OF_RANGE")
    assert str(size) in error.message
