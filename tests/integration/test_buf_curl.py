"""An independent client that knows nothing but reflection: `buf curl`, as the README shows it."""

import base64
import json
import subprocess
import sys
from pathlib import Path
from typing import Any

from google.rpc import error_details_pb2

from tests.support.deployment import Deployment

BUF = str(Path(sys.executable).parent / "buf")
SERVICE = "steeple.inference.v1.InferenceService"


def buf_curl(target: str, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run it against a gateway."""
    *options, path = arguments
    command = [BUF, "curl", "--protocol", "grpc", "--http2-prior-knowledge", *options]
    url = f"http://{target}{path}"
    return subprocess.run([*command, url], capture_output=True, text=True, timeout=60, check=False)


def call(target: str, method: str, **request: Any) -> "subprocess.CompletedProcess[str]":
    """Call a method with a request as JSON."""
    return buf_curl(target, "--data", json.dumps(request), f"/{SERVICE}/{method}")


def documents(text: str) -> list[Any]:
    """The JSON documents that stand one after another in `text`."""
    decoder, found, rest = json.JSONDecoder(), [], text.strip()
    while rest:
        value, end = decoder.raw_decode(rest)
        found.append(value)
        rest = rest[end:].strip()
    return found


def test_reflection_lists_the_services(real: Deployment) -> None:
    """All public services and health."""
    listed = buf_curl(real.target, "--list-methods", "").stdout
    for name in ("InferenceService/ChatStream", "ModelService/GetModel", "Health/Watch"):
        assert name in listed


def test_an_answer_streams_to_a_foreign_client(real: Deployment) -> None:
    """Started, the 4, finished, usage."""
    messages = [{"role": "ROLE_USER", "parts": [{"text": "What is 2+2?"}]}]
    done = call(real.target, "ChatStream", messages=messages)
    assert done.returncode == 0, done.stderr
    events = documents(done.stdout)
    assert "started" in events[0]
    assert "".join(event.get("delta", {}).get("text", "") for event in events) == "4"
    assert events[-2]["finished"]["finishReason"] == "FINISH_REASON_EOS"
    assert events[-1]["usage"]["completionTokens"] == 2


def test_a_unary_reply_reaches_a_foreign_client(real: Deployment) -> None:
    """One document."""
    done = call(real.target, "Generate", text="What is 2+2?", stopping={"maxTokens": 1})
    (reply,) = documents(done.stdout)
    assert reply["outputs"][0]["text"] == "4"


def test_a_refusal_reaches_a_foreign_client_with_its_details(real: Deployment) -> None:
    """Code, message, reason and field; the exit status tells the code."""
    done = call(real.target, "Generate", text="a", stopping={"maxTokens": 0})
    error = json.loads(done.stderr)
    assert error["code"] == "invalid_argument"
    info, bad = (base64.b64decode(detail["value"] + "==") for detail in error["details"])
    assert error_details_pb2.ErrorInfo.FromString(info).reason == "OUT_OF_RANGE"
    (violation,) = error_details_pb2.BadRequest.FromString(bad).field_violations
    assert violation.field == "stopping.max_tokens"
    assert "must be 1 to 4294967295; it is 0" in violation.description
    assert done.returncode == 3 * 8
