"""Every public RPC has one way in as HTTP and JSON, for proxies that translate."""

import re
from pathlib import Path

import pytest
from google.api import annotations_pb2, http_pb2
from google.protobuf.descriptor import MethodDescriptor

from steeple.engine.v1 import engine_service_pb2
from steeple.inference.v1 import (
    embedding_service_pb2,
    inference_service_pb2,
    load_service_pb2,
    model_service_pb2,
    tokenization_service_pb2,
)
from steeple.tokenizer.v1 import tokenizer_service_pb2

PUBLIC = [
    method
    for file in (
        embedding_service_pb2,
        inference_service_pb2,
        load_service_pb2,
        model_service_pb2,
        tokenization_service_pb2,
    )
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]
READING = {"ListModels", "GetModel", "GetLoad", "WatchLoad"}
TWINS = {"GenerateStream": "Generate", "ChatStream": "Chat", "WatchLoad": "GetLoad"}
INTERNAL = [
    method
    for file in (engine_service_pb2, tokenizer_service_pb2)
    for service in file.DESCRIPTOR.services_by_name.values()
    for method in service.methods
]


def rule(method: MethodDescriptor) -> http_pb2.HttpRule:
    """How the method is called as HTTP."""
    return method.GetOptions().Extensions[annotations_pb2.http]


@pytest.mark.parametrize("method", PUBLIC, ids=lambda method: method.name)
def test_a_public_method_takes_its_whole_request_as_the_body_or_only_reads(
    method: MethodDescriptor,
) -> None:
    """A field that neither body nor path nor query can carry would be lost without a word."""
    kind = rule(method).WhichOneof("pattern")
    assert kind == ("get" if method.name in READING else "post")
    assert rule(method).body == ("*" if kind == "post" else "")


def test_envoy_translates_every_public_service() -> None:
    text = (Path(__file__).parents[2] / "deploy" / "envoy" / "envoy.yaml").read_text()
    named = set(re.findall(r"- (steeple\.inference\.v1\.\w+)\n", text))
    assert named == {method.containing_service.full_name for method in PUBLIC}


def test_no_two_methods_share_a_path() -> None:
    paths = [(rule(method).get or rule(method).post) for method in PUBLIC]
    assert len(PUBLIC) == len(set(paths)) == 14
    assert all(path.startswith("/v1/") for path in paths)


def test_a_stream_is_called_where_its_unary_twin_is() -> None:
    """`/v1/chat` and `/v1/chat:stream`."""
    paths = {method.name: rule(method).get or rule(method).post for method in PUBLIC}
    assert {method.name for method in PUBLIC if method.server_streaming} == set(TWINS)
    for stream, twin in TWINS.items():
        assert paths[stream] == paths[twin] + ":stream"


def test_a_models_name_may_hold_slashes() -> None:
    """`org/name` is one name, not two path segments."""
    (method,) = (method for method in PUBLIC if method.name == "GetModel")
    assert rule(method).get == "/v1/models/{name=**}"


def test_what_services_say_to_each_other_has_no_way_in_over_http() -> None:
    assert INTERNAL
    assert not [m.name for m in INTERNAL if rule(m).WhichOneof("pattern")]
