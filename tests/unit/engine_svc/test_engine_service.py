"""The engine's RPCs: what a caller's deadline and priority become on their way to the core."""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pytest

from engine_svc.core.messages import EngineInfo
from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import FinishReason
from engine_svc.core.request_spec import RequestSpec
from engine_svc.service import EngineService, ServedModel
from steeple.engine.v1.generate_pb2 import GenerateRequest
from steeple_rpc.context import RpcContext, enter_rpc
from steeple_rpc.outbox import Outbox
from tests.support.engine_infos import engine_info
from tests.support.virtual_time import in_virtual_time


@dataclass
class Front:
    """Takes every request and ends it at once."""

    info: EngineInfo = field(default_factory=engine_info)
    specs: list[RequestSpec] = field(default_factory=list)

    def submit(
        self, spec: RequestSpec, wake: Callable[[], None] | None = None
    ) -> Outbox[RequestOutput]:
        self.specs.append(spec)
        outbox = Outbox[RequestOutput](time.monotonic, wake=wake)
        outbox.put(RequestOutput(request_id=spec.request_id, finish_reason=FinishReason.ABORTED), 1)
        outbox.close()
        return outbox

    def release(self, request_id: str) -> None:
        pass


async def submitted(deadline_s: float | None, **fields: Any) -> RequestSpec:
    """What reaches the core of a request with this deadline on the loop's clock."""
    front = Front()
    served = ServedModel(
        name="demo", default_max_tokens=10, max_num_waiting=4, max_message_bytes=99
    )
    service = EngineService(front, served, lambda: None)  # type: ignore[arg-type] # plays a front
    request = GenerateRequest(request_id="a", model="demo", prompt_token_ids=[1], **fields)
    request.sampling.seed = 7
    enter_rpc(RpcContext(request_id="r", deadline_s=deadline_s))
    context: Any = None  # the handler asks nothing of it
    async for _ in service.Generate(request, context):
        pass
    (spec,) = front.specs
    return spec


@in_virtual_time
async def test_a_deadline_reaches_the_core_as_what_is_left_of_it() -> None:
    """The core has a clock of its own."""
    await asyncio.sleep(1000.0)
    spec = await submitted(asyncio.get_running_loop().time() + 60)
    assert spec.timeout_s == pytest.approx(60, abs=0.001)


async def test_a_deadline_that_has_passed_leaves_nothing() -> None:
    """Never less than nothing."""
    assert (await submitted(asyncio.get_running_loop().time() - 60)).timeout_s == 0


async def test_a_caller_without_a_deadline_waits_for_ever() -> None:
    assert (await submitted(None)).timeout_s is None


async def test_a_priority_reaches_the_core() -> None:
    """Lower goes first; unset is 0."""
    assert (await submitted(None, priority=-1000)).priority == -1000
    assert (await submitted(None)).priority == 0
