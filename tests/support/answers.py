"""Answers of the public services, as a scripted gateway gives them."""

from collections.abc import AsyncGenerator, Sequence
from typing import Any

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import finish_reason_pb2, tokens_pb2, usage_pb2
from steeple.inference.v1 import (
    chat_pb2,
    events_pb2,
    generate_pb2,
    load_service_pb2,
    model_service_pb2,
)

EOS = finish_reason_pb2.FINISH_REASON_EOS
STOPPED_BY = finish_reason_pb2.MatchedStop(token_id=0)


def started() -> events_pb2.Started:
    """Of request "r" to model "m": 3 prompt tokens, seed 7, at most 9 tokens."""
    message = events_pb2.Started(request_id="r", model="m", prompt_tokens=3)
    message.sampling.seed = 7
    message.sampling.temperature = 0.0
    message.stopping.max_tokens = 9
    return message


def usage(completion_tokens: int) -> usage_pb2.Usage:
    """3 prompt tokens, 1 of them cached; 1, 2, 3 and 7 seconds."""
    timings = usage_pb2.Timings(
        queue_ns=1_000_000_000,
        prefill_ns=2_000_000_000,
        decode_ns=3_000_000_000,
        total_ns=7_000_000_000,
    )
    return usage_pb2.Usage(
        prompt_tokens=3,
        completion_tokens=completion_tokens,
        cached_prompt_tokens=1,
        timings=timings,
    )


def generate_events(*texts: str) -> list[generate_pb2.GenerateStreamResponse]:
    """A whole stream: one delta and one token per text, ended by the end-of-sequence token."""
    response = generate_pb2.GenerateStreamResponse
    finished = events_pb2.Finished(finish_reason=EOS, matched_stop=STOPPED_BY)
    return [
        response(started=started()),
        *(
            response(
                delta=events_pb2.TextDelta(
                    text=text,
                    completion_tokens=number,
                    tokens=[tokens_pb2.TokenDetail(id=number, text=text)],
                )
            )
            for number, text in enumerate(texts, 1)
        ),
        response(finished=finished),
        response(usage=usage(len(texts))),
    ]


def chat_events(*texts: str) -> list[chat_pb2.ChatStreamResponse]:
    """The same of a conversation."""
    response = chat_pb2.ChatStreamResponse
    deltas = (
        chat_pb2.ChatDelta(text=text, completion_tokens=number)
        for number, text in enumerate(texts, 1)
    )
    finished = events_pb2.Finished(finish_reason=EOS, matched_stop=STOPPED_BY)
    return [
        response(started=started()),
        *(response(delta=delta) for delta in deltas),
        response(finished=finished),
        response(usage=usage(len(texts))),
    ]


def generate_reply(text: str) -> generate_pb2.GenerateResponse:
    """The whole answer."""
    output = generate_pb2.GenerateOutput(
        text=text,
        finish_reason=EOS,
        matched_stop=STOPPED_BY,
        completion_tokens=1,
        tokens=[tokens_pb2.TokenDetail(id=1, text=text)],
    )
    return generate_pb2.GenerateResponse(started=started(), outputs=[output], usage=usage(1))


def chat_reply(text: str) -> chat_pb2.ChatResponse:
    """The same of a conversation."""
    turn = common_chat_pb2.ChatMessage(
        role=common_chat_pb2.ROLE_ASSISTANT, parts=[common_chat_pb2.ContentPart(text=text)]
    )
    output = chat_pb2.ChatOutput(
        message=turn, finish_reason=EOS, matched_stop=STOPPED_BY, completion_tokens=1
    )
    return chat_pb2.ChatResponse(started=started(), outputs=[output], usage=usage(1))


def played(events: Sequence[Any], error: Exception | None = None) -> Any:
    """A stream script that sends these messages, then fails if there is an error."""

    async def play(_: Any) -> AsyncGenerator[Any, None]:
        for event in events:
            yield event
        if error is not None:
            raise error

    return play


def replied(reply: Any) -> Any:
    """A unary script that gives this reply, or raises it if it is an error."""

    async def give(_: Any) -> Any:
        if isinstance(reply, Exception):
            raise reply
        return reply

    return give


def model(name: str, *, num_engines: int = 1) -> model_service_pb2.Model:
    """A served model with so many engines of 160 KV tokens."""
    engine = model_service_pb2.ModelEngine(
        ready=True,
        kv_tokens=160,
        max_num_seqs=4,
        max_concurrency=1.5,
        weights_bytes=10,
        kv_cache_bytes=20,
        scheduler="continuous",
        device="cpu",
        runner="fms",
        load_ns=2_500_000_000,
        version="0.1.0",
    )
    return model_service_pb2.Model(
        name=name,
        architecture="GraniteForCausalLM",
        max_model_len=100,
        vocab_size=1000,
        dtype="float32",
        engines=[engine] * num_engines,
    )


def load(*, num_running: int = 3, trouble: str = "") -> load_service_pb2.Load:
    """A gateway of one model on one busy engine, and one engine that is away."""
    ms = 1_000_000
    latency = load_service_pb2.Latency(count=9, p50_ns=20 * ms, p90_ns=30 * ms, p99_ns=45 * ms)
    return load_service_pb2.Load(
        gateway=load_service_pb2.GatewayLoad(
            version="0.1.0", uptime_ns=90_000 * ms, window_ns=10_000 * ms, tokenizer_ready=True
        ),
        models=[
            load_service_pb2.ModelLoad(
                model="demo",
                trouble=trouble,
                num_live=4,
                num_permits=40,
                num_ended=7,
                num_failed=1,
                prompt_tokens=500,
                completion_tokens=12_345,
                time_to_first_token=latency,
                inter_token=latency,
            )
        ],
        engines=[
            load_service_pb2.EngineLoad(
                ready=True,
                model="demo",
                runner="fms",
                device="cpu",
                scheduler="continuous",
                work=load_service_pb2.EngineWork(
                    num_running=num_running,
                    num_waiting=1,
                    num_free_blocks=50,
                    num_used_blocks=25,
                    num_cached_blocks=25,
                    num_total_blocks=100,
                    block_size=16,
                    counted_ns=4_000 * ms,
                    num_steps=200,
                    num_output_tokens=600,
                    num_prompt_tokens=80,
                    num_cached_prompt_tokens=20,
                ),
            ),
            load_service_pb2.EngineLoad(ready=False),
        ],
    )
