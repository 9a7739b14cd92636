"""Serves a registry over HTTP, on a port and a thread of its own: a scrape holds up no RPC."""

import socket
import socketserver
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler
from typing import Any

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import choose_encoder

from steeple_rpc.address import host_of, is_local
from steeple_rpc.bind_problem import problem_of
from steeple_rpc.errors import InvalidRequest
from steeple_rpc.server import BindRefused
from steeple_rpc.settings import ServiceSettings
from steeple_rpc.telemetry import logger

PATH = "/metrics"
MAX_SCRAPES = 8
READ_TIMEOUT_S = 5.0


@contextmanager
def metrics_served(settings: ServiceSettings, registry: CollectorRegistry) -> Iterator[None]:
    """Serve the registry for the block, where the settings say so.

    Raises:
        BindRefused: beyond loopback without the switch, or the address is taken or none.
    """
    if settings.metrics_listen is None:
        yield
        return
    server = _bound(settings.metrics_listen, registry, insecure_bind=settings.insecure_bind)
    thread = threading.Thread(target=server.serve_forever, name="metrics", daemon=True)
    thread.start()
    host, _, _ = settings.metrics_listen.rpartition(":")
    logger().info("metrics_serving", address=f"{host}:{server.server_address[1]}")
    try:
        yield
    finally:
        server.shutdown()
        server.server_close()
        thread.join()


def _bound(listen: str, registry: CollectorRegistry, *, insecure_bind: bool) -> "_Server":
    try:
        is_reachable = is_local(listen) or insecure_bind
        host, port = host_of(listen), int(listen.rpartition(":")[2])
    except (InvalidRequest, ValueError) as error:
        raise BindRefused(
            f"cannot serve metrics on {listen}: --metrics-listen takes HOST:PORT"
        ) from error
    if not is_reachable:
        raise BindRefused(
            f"refusing to serve metrics in plaintext on {listen}: listen on 127.0.0.1, or pass"
            " --insecure-bind on a private network"
        )
    try:
        return _Server(host, port, registry)
    except OSError as error:
        raise BindRefused(
            f"cannot serve metrics on {listen}: {problem_of(error)} (--metrics-listen)"
        ) from error


class _Server(socketserver.ThreadingTCPServer):
    """Bounded: so many scrapes at once, and the next connection is closed unread."""

    allow_reuse_address = True
    daemon_threads = True
    block_on_close = False

    def __init__(self, host: str, port: int, registry: CollectorRegistry) -> None:
        self.address_family = socket.AF_INET6 if ":" in host else socket.AF_INET
        self.registry = registry
        self._places = threading.BoundedSemaphore(MAX_SCRAPES)
        super().__init__((host, port), _Scrape)

    def verify_request(self, request: Any, client_address: Any) -> bool:  # noqa: ARG002 - the library's signature and types
        """Whether there is a place for one more."""
        return self._places.acquire(blocking=False)

    def process_request_thread(
        self, request: Any, client_address: Any
    ) -> None:  # the library's types
        """Answer, then give the place back."""
        try:
            super().process_request_thread(request, client_address)
        finally:
            self._places.release()

    def handle_error(self, request: Any, client_address: Any) -> None:  # noqa: ARG002 - the library's signature and types
        """A scraper that went away is no story; the library would print one."""
        logger().debug("scrape_failed", exc_info=True)


class _Scrape(BaseHTTPRequestHandler):
    """One scrape. Tells nothing about the machine, and logs nothing of what it was asked."""

    timeout = READ_TIMEOUT_S
    server: _Server

    def do_GET(self) -> None:
        """All metrics, in the format asked for."""
        if self.path.partition("?")[0] != PATH:
            self.send_error(HTTPStatus.NOT_FOUND)
            return
        encode, content_type = choose_encoder(self.headers.get("Accept", ""))
        body = encode(self.server.registry)
        self.send_response(HTTPStatus.OK)
        self.send_header("Content-Type", content_type)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def version_string(self) -> str:
        """Not the interpreter's version."""
        return "steeple"

    def log_message(self, format: str, *args: object) -> None:  # noqa: A002 - the library's name
        """Nothing: the library would write the caller's words to stderr."""
