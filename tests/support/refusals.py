"""Requests that are refused, by the gateway and by an engine asked behind its back."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import grpc
import pytest

from steeple.engine.v1 import generate_pb2 as engine_pb2
from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.errors import ServiceError
from steeple_rpc.status import from_call
from tests.support.cluster import Cluster
from tests.support.deployment import TIMEOUT_S

Ask = Callable[..., ServiceError]


def refusal(call: Callable[[], object]) -> ServiceError:
    """The error that a call ends with."""
    with pytest.raises(grpc.RpcError) as caught:
        call()
    return from_call(caught.value)


@contextmanager
def gateway_of(cluster: Cluster) -> Iterator[Ask]:
    """Asks the gateway for a text or ids with the fields given; the error that it answers."""
    with open_sync_channel(cluster.target) as channel:
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)

        def ask(**fields: Any) -> ServiceError:
            given = fields if "token_ids" in fields else {"text": "x", **fields}
            request = generate_pb2.GenerateRequest(**given)
            return refusal(lambda: stub.Generate(request, timeout=TIMEOUT_S))

        yield ask


@contextmanager
def engine_of(cluster: Cluster) -> Iterator[Ask]:
    """Asks the engine itself, likewise."""
    with cluster.engine_stub() as stub:

        def ask(**fields: Any) -> ServiceError:
            good = {"request_id": "r", "model": "demo", "prompt_token_ids": [5]}
            sampling = {"sampling": {"seed": 1}}
            request = engine_pb2.GenerateRequest(**{**good, **sampling, **fields})
            return refusal(lambda: list(stub.Generate(request, timeout=TIMEOUT_S)))

        yield ask
