"""The client channel factory: keepalive that notices a dead peer and is not punished for it."""

import grpc

from steeple_rpc.tls.channel_tls import ChannelTls

KEEPALIVE_MS = 10_000
KEEPALIVE_TIMEOUT_MS = 5_000
MAX_MESSAGE_BYTES = 64 << 20
MIN_RESOLUTION_INTERVAL_MS = 1_000
FIRST_ADDRESS = "pick_first"
# About what one token takes with its request's id. Larger messages pass, too: once they are read.
PACED_WINDOW_BYTES = 64


def channel_options(max_message_bytes: int = MAX_MESSAGE_BYTES) -> list[tuple[str, int]]:
    """Options of the core library for a channel of ours."""
    return [
        ("grpc.keepalive_time_ms", KEEPALIVE_MS),
        ("grpc.keepalive_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        # Without this one a stopped peer is noticed after a minute, whatever the others say.
        ("grpc.http2.ping_timeout_ms", KEEPALIVE_TIMEOUT_MS),
        ("grpc.http2.max_pings_without_data", 0),
        ("grpc.keepalive_permit_without_calls", 1),
        ("grpc.max_receive_message_length", max_message_bytes),
        ("grpc.max_send_message_length", max_message_bytes),
        # Retries are ours to decide: the library's own would repeat a generation.
        ("grpc.enable_retries", 0),
        ("grpc.initial_reconnect_backoff_ms", 100),
        ("grpc.max_reconnect_backoff_ms", 2_000),
        # A container that is replaced has another address behind its name: the default of 30 s is
        # longer than streams wait for their engine.
        ("grpc.dns_min_time_between_resolutions_ms", MIN_RESOLUTION_INTERVAL_MS),
        # A proxy of the environment is for the web: calls to loopback would fail through it.
        ("grpc.enable_http_proxy", 0),
        # One connection per target: channels of one process must not share a lost one.
        ("grpc.use_local_subchannel_pool", 1),
    ]


def open_channel(
    target: str, tls: ChannelTls | None = None, *, lb_policy: str = FIRST_ADDRESS
) -> grpc.aio.Channel:
    """An asyncio channel to HOST:PORT or unix:PATH; connects when first used.

    Args:
        target: where.
        tls: None = plaintext.
        lb_policy: which of several addresses behind a name calls go to, as the library names it.

    Raises:
        TlsRefused: a file of `tls` cannot be used.
    """
    return _open(target, tls, _options(tls, lb_policy))


def open_paced_channel(target: str, tls: ChannelTls | None = None) -> grpc.aio.Channel:
    """An asyncio channel to a service nearby, which sends no more than one small message ahead.

    By default the library takes 64 KiB per stream before anybody reads: a thousand tokens in a
    thousand messages. Here what a reader has no time for gathers in the sender's outbox and comes
    as one. Whoever is far away would wait a round trip for each message. Else as `open_channel`.
    """
    paced = [
        ("grpc.http2.lookahead_bytes", PACED_WINDOW_BYTES),
        # It would widen the window again.
        ("grpc.http2.bdp_probe", 0),
    ]
    return _open(target, tls, [*_options(tls, FIRST_ADDRESS), *paced])


def open_sync_channel(
    target: str, tls: ChannelTls | None = None, *, lb_policy: str = FIRST_ADDRESS
) -> grpc.Channel:
    """A blocking channel to HOST:PORT or unix:PATH; else as `open_channel`."""
    if tls is None:
        return grpc.insecure_channel(target, options=_options(None, lb_policy))
    return grpc.secure_channel(target, tls.credentials(), options=_options(tls, lb_policy))


def _open(
    target: str, tls: ChannelTls | None, options: list[tuple[str, int | str]]
) -> grpc.aio.Channel:
    if tls is None:
        return grpc.aio.insecure_channel(target, options=options)
    return grpc.aio.secure_channel(target, tls.credentials(), options=options)


def _options(tls: ChannelTls | None, lb_policy: str) -> list[tuple[str, int | str]]:
    named: list[tuple[str, int | str]] = [("grpc.lb_policy_name", lb_policy)]
    if tls is not None and tls.server_name is not None:
        named.append(("grpc.ssl_target_name_override", tls.server_name))
    return [*channel_options(), *named]
