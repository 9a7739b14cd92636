"""F-38: callers with no token, a wrong one, an old one or an absurd one, and files that change.

All are UNAUTHENTICATED with a stable reason, none reaches a handler, no token reaches a log, and
whoever has a good one notices nothing.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple.inference.v1 import generate_pb2, inference_service_pb2_grpc
from steeple_rpc.auth.authenticators import MAX_TOKEN_BYTES, BearerTokens
from steeple_rpc.auth.failures import FailureLimit
from steeple_rpc.auth.interceptor import AuthInterceptor
from steeple_rpc.auth.token_file import TokenFile
from steeple_rpc.auth.token_table import TokenRecord, digest_of, new_token, record_text
from steeple_rpc.channel import open_channel
from steeple_rpc.context import current_rpc
from steeple_rpc.errors import Overloaded, Unauthenticated
from steeple_rpc.principal import Principal
from tests.support import http2
from tests.support.fault_counts import count
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving, drained, failure, serving

NOON = datetime(2030, 6, 1, 12, tzinfo=UTC)
# {"alg":"none"}.{"sub":"admin"}. : what servers of JWTs have fallen for.
UNSIGNED_JWT = "eyJhbGciOiJub25lIn0.eyJzdWIiOiJhZG1pbiJ9."
GENERATE = b"/steeple.inference.v1.InferenceService/Generate"
EMPTY_MESSAGE = bytes(5)  # not compressed, of length 0

# It exists in the stubs only.
Stub: TypeAlias = "inference_service_pb2_grpc.InferenceServiceAsyncStub"


class Clock:
    """Time of day and monotonic time, moved by the test."""

    def __init__(self) -> None:
        self.now = NOON
        self.monotonic_s = 0.0


class Door:
    """A served gateway-like server with a token file, and who has entered."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.clock = Clock()
        self.token = new_token()
        self.write(self.token)
        self.file = TokenFile(path)
        self.entered: list[Principal] = []
        self.script = ScriptedInference(generate=self._generate, generate_stream=self._stream)
        self.go_on = asyncio.Event()

    def write(self, *tokens: str, expires: datetime | None = None) -> None:
        """The file with these tokens of alice's."""
        alice = Principal(name="alice")
        records = (
            TokenRecord(digest=digest_of(t), principal=alice, expires=expires) for t in tokens
        )
        self.path.write_text("\n".join(map(record_text, records)))

    def interceptor(self, burst: int = 10_000) -> AuthInterceptor:
        proof = BearerTokens(lambda: self.file.table, lambda: self.clock.now)
        return AuthInterceptor(proof, FailureLimit(lambda: self.clock.monotonic_s, burst=burst))

    async def _generate(
        self, request: generate_pb2.GenerateRequest
    ) -> generate_pb2.GenerateResponse:
        self.entered.append(current_rpc().principal)
        return generate_pb2.GenerateResponse()

    async def _stream(
        self, request: generate_pb2.GenerateStreamRequest
    ) -> AsyncGenerator[generate_pb2.GenerateStreamResponse, None]:
        self.entered.append(current_rpc().principal)
        yield generate_pb2.GenerateStreamResponse()
        await self.go_on.wait()
        yield generate_pb2.GenerateStreamResponse()


@pytest.fixture
async def door(tmp_path: Path) -> Door:
    return Door(tmp_path / "tokens.toml")


@pytest.fixture
async def served(door: Door) -> AsyncIterator[Serving]:
    async with serving(door.script.add_to, interceptors=[door.interceptor()]) as served:
        yield served


@pytest.fixture
async def stub(served: Serving) -> AsyncIterator[Stub]:
    async with open_channel(served.address) as channel:
        yield inference_service_pb2_grpc.InferenceServiceStub(channel)


def call(stub: Stub, *values: str) -> Any:
    """A unary call with these `authorization` metadata."""
    metadata = tuple(("authorization", value) for value in values)
    return stub.Generate(generate_pb2.GenerateRequest(), metadata=metadata, timeout=30)


async def test_a_good_token_comes_in_under_its_principals_name(door: Door, stub: Stub) -> None:
    """The scheme's case does not matter (RFC 9110); the token's does."""
    await call(stub, f"Bearer {door.token}")
    await call(stub, f"bearer {door.token}")
    assert [principal.name for principal in door.entered] == ["alice", "alice"]


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ((), "TOKEN_MISSING"),
        (("",), "TOKEN_INVALID"),
        (("Bearer",), "TOKEN_INVALID"),
        (("Bearer ",), "TOKEN_INVALID"),
        (("Basic YTpi",), "TOKEN_INVALID"),
        (("{token}",), "TOKEN_INVALID"),
        (("Bearer  {token}",), "TOKEN_INVALID"),
        (("Bearer {token}x",), "TOKEN_INVALID"),
        (("Bearer {lower}",), "TOKEN_INVALID"),
        (("Bearer {hash}",), "TOKEN_INVALID"),
        (("Bearer {token}", "Bearer {token}"), "TOKEN_INVALID"),
        (("Bearer " + UNSIGNED_JWT,), "TOKEN_INVALID"),
        (("Bearer " + "x" * MAX_TOKEN_BYTES,), "TOKEN_INVALID"),
        (("Bearer " + "x" * (MAX_TOKEN_BYTES + 1),), "TOKEN_INVALID"),
        (("Bearer " + "x" * 7000,), "TOKEN_INVALID"),
        (("Bearer ' OR 1=1 --",), "TOKEN_INVALID"),
        (("Bearer ../../etc/passwd",), "TOKEN_INVALID"),
    ],
)
async def test_a_bad_token_never_reaches_a_handler(
    door: Door, stub: Stub, served: Serving, values: tuple[str, ...], reason: str
) -> None:
    """One answer for all forms of wrong; neither reply nor log has a word of what was sent."""
    facts = {
        "{token}": door.token,
        "{lower}": door.token.lower(),
        "{hash}": digest_of(door.token).hex(),
    }
    for key, value in facts.items():
        values = tuple(given.replace(key, value) for given in values)
    error = await failure(call(stub, *values))
    assert isinstance(error, Unauthenticated)
    assert error.reason == reason
    assert door.entered == []
    told = f"{error.message} {served.logs}"
    sent = [part for value in values for part in value.split(" ") if len(part) > 7]
    assert [part for part in sent if part in told] == []
    await call(stub, f"Bearer {door.token}")


@pytest.mark.parametrize(
    "value", [b"Bearer \xff\xfe", b"Bearer \xc3\xa9", b"\x7f\x01\x02"], ids=repr
)
async def test_bytes_that_no_token_has_reach_no_handler(
    door: Door, served: Serving, stub: Stub, value: bytes
) -> None:
    """Sent by hand, for grpc's own client refuses to; the library or we refuse, and serve on."""
    headers = (
        *(
            (b":method", b"POST"),
            (b":scheme", b"http"),
            (b":path", GENERATE),
            (b":authority", b"x"),
        ),
        *((b"te", b"trailers"), (b"content-type", b"application/grpc"), (b"authorization", value)),
    )
    host, _, port = served.address.rpartition(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(http2.PREFACE + http2.headers(1, headers) + http2.data(1, EMPTY_MESSAGE))
        async with asyncio.timeout(30):
            await http2.stream_ended(reader, 1)
    finally:
        writer.close()
    assert door.entered == []
    assert "handler_failed" not in [log["event"] for log in served.logs]
    await call(stub, f"Bearer {door.token}")
    assert len(door.entered) == 1


async def test_a_token_longer_than_all_metadata_may_be_is_refused_by_the_library(
    door: Door, stub: Stub
) -> None:
    error = await failure(call(stub, "Bearer " + "x" * (9 << 10)))
    assert isinstance(error, Overloaded)
    assert door.entered == []
    await call(stub, f"Bearer {door.token}")


async def test_a_stream_is_guarded_like_a_unary_call(door: Door, stub: Stub) -> None:
    error = await failure(drained(stub.GenerateStream(generate_pb2.GenerateStreamRequest())))
    assert error.reason == "TOKEN_MISSING"
    assert door.entered == []


async def test_an_expired_token_is_told_so_and_only_to_its_holder(door: Door, stub: Stub) -> None:
    door.write(door.token, expires=NOON + timedelta(seconds=1))
    door.file.refresh()
    await call(stub, f"Bearer {door.token}")
    door.clock.now += timedelta(seconds=1)
    assert (await failure(call(stub, f"Bearer {door.token}"))).reason == "TOKEN_EXPIRED"
    assert (await failure(call(stub, f"Bearer {new_token()}"))).reason == "TOKEN_INVALID"


async def test_a_running_stream_outlives_its_token(door: Door, stub: Stub) -> None:
    """The token counts when the RPC begins: expiry and removal end no stream, but bar the next."""
    door.write(door.token, expires=NOON + timedelta(seconds=1))
    door.file.refresh()
    metadata = (("authorization", f"Bearer {door.token}"),)
    stream = aiter(stub.GenerateStream(generate_pb2.GenerateStreamRequest(), metadata=metadata))
    await anext(stream)
    door.clock.now += timedelta(hours=1)
    door.write()
    door.file.refresh()
    door.go_on.set()
    assert len(await drained(stream)) == 1
    assert (await failure(call(stub, f"Bearer {door.token}"))).reason == "TOKEN_INVALID"


async def test_a_changed_file_counts_for_the_next_call_and_a_broken_one_for_none(
    door: Door, stub: Stub
) -> None:
    second = new_token()
    door.write(second)
    door.file.refresh()
    assert (await failure(call(stub, f"Bearer {door.token}"))).reason == "TOKEN_INVALID"
    await call(stub, f"Bearer {second}")
    door.path.write_text("[[token")
    door.file.refresh()
    await call(stub, f"Bearer {second}")


async def test_a_peer_that_fails_again_and_again_is_answered_shortly_and_logged_no_more(
    door: Door,
) -> None:
    """One log line each up to the limit, none after it; a good token from there still works."""
    limit, trials = 5, count(20, 1000)
    async with (
        serving(door.script.add_to, interceptors=[door.interceptor(limit)]) as served,
        open_channel(served.address) as channel,
    ):
        stub = inference_service_pb2_grpc.InferenceServiceStub(channel)
        errors = [await failure(call(stub, f"Bearer {new_token()}")) for _ in range(trials)]
        assert [error.reason for error in errors[:limit]] == ["TOKEN_INVALID"] * limit
        for error in errors[limit:]:
            assert isinstance(error, Overloaded)
            assert error.reason == "TOO_MANY_AUTH_FAILURES"
            assert error.retry_after_s == 1.0
        told = [log for log in served.logs if log["event"] == "authentication_failed"]
        assert [(log["peer"], log["reason"]) for log in told] == [
            ("127.0.0.1", "TOKEN_INVALID")
        ] * limit
        await call(stub, f"Bearer {door.token}")


async def test_health_needs_no_token(door: Door, served: Serving) -> None:
    """Balancers and orchestrators have no name."""
    async with open_channel(served.address) as channel:
        health = health_pb2_grpc.HealthStub(channel)
        reply = await health.Check(health_pb2.HealthCheckRequest())
        assert reply.status == health_pb2.HealthCheckResponse.SERVING
