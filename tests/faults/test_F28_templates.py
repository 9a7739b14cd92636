"""F-28: chat templates that attack the service, rendered by the real one.

INVALID_ARGUMENT/TEMPLATE_FAILED in bounded time and memory; other models and requests unharmed.
"""

import json
import shutil
import time
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import grpc
import psutil
import pytest

from steeple.common.v1 import chat_pb2
from steeple.tokenizer.v1 import tokenizer_service_pb2, tokenizer_service_pb2_grpc
from steeple_demo import model_dir
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.status import from_call
from tests.support.deployment import Service
from tests.support.fault_counts import is_full
from tests.support.templates import ATTACKS, DEEP_COMPARISON
from tests.support.waiting import eventually

TEMPLATES = {**ATTACKS, "deep comparison": DEEP_COMPARISON}
MODELS = {name: f"m{number}" for number, name in enumerate(TEMPLATES)}
Stub = tokenizer_service_pb2_grpc.TokenizerServiceStub


@pytest.fixture(scope="module")
def service() -> Iterator[Service]:
    """One tokenizer service with the demo model and one model per attack."""
    with TemporaryDirectory(prefix="steeple-") as directory:
        for name, model in MODELS.items():
            shutil.copytree(model_dir(), Path(directory, model))
            path = Path(directory, model, "tokenizer_config.json")
            config = json.loads(path.read_text())
            path.write_text(json.dumps({**config, "chat_template": TEMPLATES[name]}))
            Path(directory, model, "chat_template.jinja").unlink(missing_ok=True)
        models = [f"--model={model}={directory}/{model}" for model in MODELS.values()]
        serving = Service("tokenizer_svc", [f"--model=demo={model_dir()}", *models])
        try:
            assert serving.address
            yield serving
        finally:
            serving.stop()


def _render(stub: Stub, model: str, text: str) -> tokenizer_service_pb2.RenderChatResponse:
    message = chat_pb2.ChatMessage(role=chat_pb2.ROLE_USER, parts=[chat_pb2.ContentPart(text=text)])
    request = tokenizer_service_pb2.RenderChatRequest(model=model, messages=[message])
    response: tokenizer_service_pb2.RenderChatResponse = stub.RenderChat(request, timeout=60)
    return response


def _rss(service: Service) -> int:
    process = psutil.Process(service.process.pid)
    family = (process, *process.children(recursive=True))
    return sum(member.memory_info().rss for member in family)


@pytest.mark.parametrize("attack", TEMPLATES)
def test_an_attack_fails_alone(service: Service, attack: str) -> None:
    """Typed, without a word of Python, and the next conversation is rendered."""
    with open_sync_channel(service.address) as channel:
        stub = Stub(channel)
        before = _rss(service)
        start = time.monotonic()
        with pytest.raises(grpc.RpcError) as caught:
            _render(stub, MODELS[attack], "x")
        took_s = time.monotonic() - start
        error = from_call(caught.value)
        assert caught.value.code() is grpc.StatusCode.INVALID_ARGUMENT
        assert error.reason == "TEMPLATE_FAILED"
        assert not any(word in error.message for word in ("Error", "jinja", "/", "Traceback"))
        assert _rss(service) - before < 64 << 20
        assert _render(stub, "demo", "2+2").prompt.ids
    if is_full():
        print(f"F-28 {attack}: {took_s * 1e3:.0f} ms")  # noqa: T201 - the figure


def _overran(service: Service) -> set[int]:
    """The processes that were ended for what they took."""
    return {int(e["pid"]) for e in service.events if e["event"] == "template_overran"}


def test_a_step_without_an_end_ends_with_its_process(service: Service) -> None:
    """By the kernel's clock: the step itself would take seconds, and nothing in it is charged."""
    workers = {child.pid for child in psutil.Process(service.process.pid).children()}
    with open_sync_channel(service.address) as channel, pytest.raises(grpc.RpcError):
        _render(Stub(channel), MODELS["deep comparison"], "x")
    eventually(lambda: len(_overran(service) & workers) == 1, service.told)


def test_what_looks_like_control_tokens_stays_text(service: Service) -> None:
    """A caller's text never becomes a special token."""
    with open_sync_channel(service.address) as channel:
        ids = set(_render(Stub(channel), "demo", "hello").prompt.ids)
        config = json.loads(Path(model_dir(), "tokenizer.json").read_text())
        special = {token["content"]: token["id"] for token in config["added_tokens"]}
        for content, token_id in special.items():
            told = list(_render(Stub(channel), "demo", f"a{content}b").prompt.ids)
            plain = list(_render(Stub(channel), "demo", "ab").prompt.ids)
            assert told.count(token_id) == plain.count(token_id)
    assert ids


def test_a_template_in_a_request_is_refused(service: Service) -> None:
    """No caller's template, whatever it is called."""
    for name in ("chat_template", "template", "messages", "bos_token"):
        request = tokenizer_service_pb2.RenderChatRequest(model="demo")
        turn = request.messages.add(role=chat_pb2.ROLE_USER)
        turn.parts.add(text="x")
        request.template_args[name] = '"{{ 1 }}"'
        with open_sync_channel(service.address) as channel:
            with pytest.raises(grpc.RpcError) as caught:
                Stub(channel).RenderChat(request, timeout=30)
            assert from_call(caught.value).reason == "TEMPLATE_ARG_NOT_ALLOWED"
