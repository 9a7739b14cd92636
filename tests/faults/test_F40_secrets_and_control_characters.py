"""F-40: newlines, terminal sequences, a megabyte and secrets in all that a caller can send.

No line that a service writes at INFO or above, no metric and no error holds any of it; each line is
one JSON object.
"""

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import grpc
import pytest

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import sampling_pb2
from steeple.inference.v1 import (
    chat_pb2,
    generate_pb2,
    inference_service_pb2_grpc,
    tokenization_service_pb2,
    tokenization_service_pb2_grpc,
)
from steeple.tokenizer.v1 import tokenizer_service_pb2, tokenizer_service_pb2_grpc
from steeple_rpc.channel import open_sync_channel
from tests.integration.conftest import FAKE
from tests.support.deployment import Deployment, Service
from tests.support.scraping import scrape_text
from tests.support.waiting import eventually

CANARY = "xyzzy-canary"
EVIL = f"{CANARY}\n\x1b[31m{CANARY}\r\n" + '{"event": "forged"}'
METADATA = (
    ("authorization", f"Bearer {CANARY}"),
    ("x-custom", CANARY),
    ("x-binary-bin", CANARY.encode()),
    ("traceparent", CANARY),
)
ON = ("--metrics-listen=127.0.0.1:0",)
Call = Callable[[grpc.Channel], Any]


def generating(**fields: Any) -> Call:
    def call(channel: grpc.Channel) -> Any:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        given = {"text": "hello", "stopping": sampling_pb2.StoppingParams(max_tokens=4), **fields}
        return stub.Generate(generate_pb2.GenerateRequest(**given), metadata=METADATA, timeout=30)

    return call


def chatting(**fields: Any) -> Call:
    def call(channel: grpc.Channel) -> Any:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        part = common_chat_pb2.ContentPart(text=EVIL)
        message = common_chat_pb2.ChatMessage(role=common_chat_pb2.ROLE_USER, parts=[part])
        stopping = sampling_pb2.StoppingParams(max_tokens=4)
        given = {"messages": [message], "stopping": stopping, **fields}
        return stub.Chat(chat_pb2.ChatRequest(**given), metadata=METADATA, timeout=30)

    return call


def tokenizing(**fields: Any) -> Call:
    def call(channel: grpc.Channel) -> Any:
        stub = tokenization_service_pb2_grpc.TokenizationServiceStub(channel)
        inputs = [tokenization_service_pb2.TokenizeInput(text=EVIL)]
        request = tokenization_service_pb2.TokenizeRequest(**{"inputs": inputs, **fields})
        return stub.Tokenize(request, metadata=METADATA, timeout=30)

    return call


def unknown(channel: grpc.Channel) -> Any:
    call: Any = channel.unary_unary(f"/{CANARY}/{CANARY}")
    return call(CANARY.encode(), metadata=METADATA, timeout=30)


SERVED: dict[str, Call] = {
    "prompt": generating(text=EVIL),
    "stop string": generating(stopping=sampling_pb2.StoppingParams(max_tokens=4, stop=[EVIL])),
    "chat": chatting(),
    "tokenized text": tokenizing(),
}
FINISHED = {"rpc_finished", "request_finished"}
REFUSED: dict[str, Call] = {
    "a megabyte": generating(text=EVIL + "x" * (1 << 20)),
    "request id": generating(request_id=EVIL),
    "model": generating(model=EVIL),
    "cache salt": generating(cache_salt=EVIL * 10),
    "adapter": generating(adapter=EVIL),
    "chat model": chatting(model=EVIL),
    "tokenizer model": tokenizing(model=EVIL),
    "method": unknown,
}


@pytest.fixture(scope="module")
def deployment(demo_dir: Path) -> Iterator[Deployment]:
    with Deployment(demo_dir, engine=[*FAKE, *ON], gateway=ON, tokenizer=ON) as made:
        yield made


@pytest.fixture(scope="module")
def told_to_callers(deployment: Deployment) -> str:
    """Send everything; all that failed calls were told, and proof that they were what they were."""
    told = []
    with open_sync_channel(deployment.target) as channel:
        for name, call in SERVED.items():
            assert call(channel) is not None, name
        for name, call in REFUSED.items():
            with pytest.raises(grpc.RpcError) as caught:
                call(channel)
            assert caught.value.code() is not grpc.StatusCode.UNKNOWN, name
            told += [caught.value.details(), repr(caught.value.trailing_metadata())]
    with open_sync_channel(deployment.tokenizer.address) as channel:
        stub = tokenizer_service_pb2_grpc.TokenizerServiceStub(channel)
        with pytest.raises(grpc.RpcError) as caught:
            stub.Encode(tokenizer_service_pb2.EncodeRequest(model=EVIL), metadata=METADATA)
        told += [caught.value.details(), repr(caught.value.trailing_metadata())]
    # The unknown method has no line; the lines come through a pipe.
    names, num_lines = services(deployment)[0].names, len(SERVED) + len(REFUSED) - 1
    eventually(lambda: sum(name in FINISHED for name in names()) >= num_lines)
    return "\n".join(str(part) for part in told)


def services(deployment: Deployment) -> list[Service]:
    assert deployment.gateway is not None
    return [deployment.gateway, deployment.tokenizer, deployment.engine]


def test_no_line_at_info_holds_what_a_caller_sent(
    deployment: Deployment, told_to_callers: str
) -> None:
    for service in services(deployment):
        told = [event for event in service.events if event.get("level") != "debug"]
        assert told, service.module
        assert CANARY not in str(told)


def test_every_line_is_one_object_of_json(deployment: Deployment, told_to_callers: str) -> None:
    """The reader of the log marks what is not as raw."""
    for service in services(deployment):
        assert not [event for event in service.events if event.get("level") == "raw"]
        assert "forged" not in service.names()


def test_no_metric_holds_what_a_caller_sent(deployment: Deployment, told_to_callers: str) -> None:
    for service in services(deployment):
        told = next(e for e in service.events if e["event"] == "metrics_serving")
        text = scrape_text(str(told["address"]))
        assert "steeple_rpcs_total" in text
        assert CANARY not in text


def test_no_error_holds_what_a_caller_sent(told_to_callers: str) -> None:
    assert told_to_callers
    assert CANARY not in told_to_callers
