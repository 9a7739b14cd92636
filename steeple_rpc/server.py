"""The server factory: what grpcio gets wrong by default is set right here, once.

Every option below answers a measured default; docs/grpc.md tells them one by one.
"""

import socket
from collections.abc import Iterable, Iterator, Sequence
from contextlib import suppress

import grpc
from google.protobuf import descriptor_pool
from grpc_health.v1 import health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from steeple_rpc.address import UNIX, is_local
from steeple_rpc.bind_problem import bind_problem
from steeple_rpc.decoding import DecodingInterceptor
from steeple_rpc.errors import InvalidRequest
from steeple_rpc.health import HealthService
from steeple_rpc.interceptors import BorderInterceptor
from steeple_rpc.live_calls import LiveCalls
from steeple_rpc.observing import RpcObserver
from steeple_rpc.refused import SettingRefused
from steeple_rpc.settings import ServiceSettings
from steeple_rpc.tls.server_tls import server_credentials

MAX_METADATA_BYTES = 8 << 10
MAX_PENDING_REQUESTS = 20_000
MIN_PING_INTERVAL_MS = 1_000
HANDSHAKE_TIMEOUT_MS = 5_000


class BindRefused(SettingRefused):
    """The address may not or cannot be served; the message names the remedy."""


def server_options(max_message_bytes: int) -> list[tuple[str, int]]:
    """Options of the core library for a server of ours."""
    return [
        # Two processes on one port would share it silently.
        ("grpc.so_reuseport", 0),
        ("grpc.max_receive_message_length", max_message_bytes),
        # Soft = hard: between the two, refusal would be a matter of chance.
        ("grpc.max_metadata_size", MAX_METADATA_BYTES),
        ("grpc.absolute_max_metadata_size", MAX_METADATA_BYTES),
        # In a burst the default cancels calls by itself; admission does the refusing here.
        ("grpc.server.max_pending_requests", MAX_PENDING_REQUESTS),
        ("grpc.server.max_pending_requests_hard_limit", MAX_PENDING_REQUESTS),
        # Pairs with the keepalive of `channel.py`: slower and long quiet calls would be killed.
        # ("grpc.http2.min_recv_ping_interval_without_data_ms" is not a key of grpc core.)
        ("grpc.http2.min_ping_interval_without_data_ms", MIN_PING_INTERVAL_MS),
        ("grpc.keepalive_permit_without_calls", 1),
        # Half-open connections would hold their descriptors for a minute.
        ("grpc.server_handshake_timeout_ms", HANDSHAKE_TIMEOUT_MS),
    ]


def make_server(
    settings: ServiceSettings,
    observers: Sequence[RpcObserver] = (),
    interceptors: Sequence[grpc.aio.ServerInterceptor] = (),
    *,
    calls: LiveCalls | None = None,
) -> grpc.aio.Server:
    """A server with our options and border; not yet bound or started.

    Args:
        settings: of the service.
        observers: told of its RPCs.
        interceptors: more of them, inside the border, the outermost first; none of them can
            rely on what is in a request, which may be malformed.
        calls: where its RPCs are while they live; the `Lifecycle` ends them.
    """
    border = BorderInterceptor(observers, calls or LiveCalls())
    return grpc.aio.server(
        interceptors=(border, *interceptors, DecodingInterceptor()),
        options=server_options(settings.max_message_bytes),
    )


def bind(server: grpc.aio.Server, settings: ServiceSettings) -> str:
    """Bind to the settings' address and tell the address bound (port 0 picks a free one).

    Raises:
        BindRefused: plaintext beyond loopback without the switch, or the address is taken or none.
        TlsRefused: a file of TLS cannot be used.
    """
    is_plain = settings.tls is None
    if is_plain and not _is_local(settings.listen) and not settings.insecure_bind:
        raise BindRefused(
            f"refusing to serve plaintext on {settings.listen}: listen on 127.0.0.1, give"
            " --tls-cert and --tls-key, or pass --insecure-bind on a private network"
        )
    if _is_served(settings.listen):
        raise BindRefused(
            f"cannot listen on {settings.listen}: another process serves there: end it, or choose"
            " another path (--listen)"
        )
    try:
        port = _add_port(server, settings)
    except RuntimeError as error:
        raise BindRefused(
            f"cannot listen on {settings.listen}: {bind_problem(settings.listen)} (--listen)"
        ) from error
    if settings.listen.startswith("unix:"):
        return settings.listen
    return f"{settings.listen.rpartition(':')[0]}:{port}"


def _add_port(server: grpc.aio.Server, settings: ServiceSettings) -> int:
    if settings.tls is None:
        return server.add_insecure_port(settings.listen)
    return server.add_secure_port(settings.listen, server_credentials(settings.tls))


def _is_served(listen: str) -> bool:
    """Whether somebody answers on a Unix socket: the library would take it over silently."""
    if not listen.startswith(UNIX):
        return False
    # A path that is none, as one that is too long, raises: whoever binds there is told why.
    with socket.socket(socket.AF_UNIX) as probe, suppress(OSError):
        return probe.connect_ex(listen.removeprefix(UNIX)) == 0
    return False


def _is_local(listen: str) -> bool:
    try:
        return is_local(listen)
    except InvalidRequest as error:
        raise BindRefused(f"{error}; choose another with --listen") from error


def add_health(server: grpc.aio.Server) -> HealthService:
    """Add grpc.health.v1 with live Watch; `Lifecycle.start` makes it tell the truth."""
    health = HealthService()
    health_pb2_grpc.add_HealthServicer_to_server(health, server)
    return health


def methods_of(services: Iterable[str]) -> Iterator[str]:
    """The full names of the methods of services, by which RPCs are known at the border."""
    pool = descriptor_pool.Default()
    for service in services:
        for method in pool.FindServiceByName(service).methods:
            yield f"/{service}/{method.name}"


def add_reflection(
    server: grpc.aio.Server, settings: ServiceSettings, services: Sequence[str]
) -> None:
    """Add reflection for `services` where the settings, or a local address, allow it.

    Raises:
        BindRefused: the settings leave it to the address, which is none.
    """
    wanted = settings.reflection
    if wanted if wanted is not None else _is_local(settings.listen):
        names = (*services, "grpc.health.v1.Health", reflection.SERVICE_NAME)
        reflection.enable_server_reflection(names, server)
