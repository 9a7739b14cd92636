"""`python -m steeple_rpc.probe ADDRESS`: asks a service for its health, for container probes.

Ends with 0 if it is serving; else with 1 and one line that tells why not.
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from steeple_rpc.channel import open_sync_channel
from steeple_rpc.lifecycle import READINESS
from steeple_rpc.refused import SettingRefused
from steeple_rpc.tls.channel_tls import ChannelTls

DEFAULT_TIMEOUT_S = 4.0
NOT_HEALTHY = 1
_STATES = health_pb2.HealthCheckResponse.ServingStatus


@dataclass(frozen=True, slots=True, kw_only=True)
class Question:
    """Whom to ask, and what for."""

    address: str
    service: str = READINESS
    """"" = whether requests can be served; "liveness" = whether the process lives."""
    timeout_s: float = DEFAULT_TIMEOUT_S
    tls: ChannelTls | None = None
    """None = plaintext."""


def ask(question: Question) -> str | None:
    """What is wrong with the service; None if it is serving.

    Raises:
        TlsRefused: a file of `tls` cannot be used.
    """
    request = health_pb2.HealthCheckRequest(service=question.service)
    with open_sync_channel(question.address, question.tls) as channel:
        try:
            reply = health_pb2_grpc.HealthStub(channel).Check(request, timeout=question.timeout_s)
        except grpc.RpcError as error:
            return f"{error.code().name}: {error.details()}"
    return None if reply.status == _STATES.SERVING else _STATES.Name(reply.status)


def main(arguments: Sequence[str]) -> int:
    """Ask as the command line says; the exit status."""
    try:
        question = _question(arguments)
        wrong = ask(question)
    except SettingRefused as error:
        wrong = str(error)
    if wrong is None:
        return 0
    sys.stderr.write(f"error: {wrong}\n")
    return NOT_HEALTHY


def _question(arguments: Sequence[str]) -> Question:
    """The command line's.

    Raises:
        TlsRefused: its files do not go together.
    """
    parser = argparse.ArgumentParser("python -m steeple_rpc.probe", description=__doc__)
    parser.add_argument("address", help="HOST:PORT or unix:PATH")
    parser.add_argument("--service", default=READINESS, help="liveness; default: readiness")
    parser.add_argument("--timeout-s", type=float, default=DEFAULT_TIMEOUT_S)
    parser.add_argument("--tls-ca", type=Path, help="by TLS; this authority (PEM) vouches")
    parser.add_argument("--tls-cert", type=Path, help="shown to it (PEM), for mutual TLS")
    parser.add_argument("--tls-key", type=Path, help="its private key (PEM)")
    parser.add_argument("--tls-server-name", help="what its certificate is for, if not the host")
    given = parser.parse_args(arguments)
    return Question(
        address=given.address, service=given.service, timeout_s=given.timeout_s, tls=_tls(given)
    )


def _tls(given: argparse.Namespace) -> ChannelTls | None:
    if given.tls_ca is None:
        return None
    return ChannelTls(
        ca=given.tls_ca,
        cert=given.tls_cert,
        key=given.tls_key,
        server_name=given.tls_server_name,
    )


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
