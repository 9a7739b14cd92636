"""A gateway process with TLS and tokens, in front of upstreams that run already."""

from collections.abc import Sequence
from pathlib import Path

import grpc

from steeple_client import Client
from steeple_rpc.auth.token_table import TokenRecord, digest_of, new_token, record_text
from steeple_rpc.channel import open_sync_channel
from steeple_rpc.principal import Principal
from tests.support.certificates import Authority
from tests.support.deployment import TIMEOUT_S, Service
from tests.support.running import Running

ALICE, BOB = "alice", "bob"


class GuardedGateway(Running):
    """Lets alice and bob in. Reflection is on, for who has a token.

    Args:
        upstreams: arguments that name the tokenizer service and the engines.
        folder: for certificates and hashes.
    """

    def __init__(self, upstreams: Sequence[str], folder: Path) -> None:
        self.authority = Authority(folder / "ca")
        self.tokens = {name: new_token() for name in (ALICE, BOB)}
        self.hashes = folder / "tokens.toml"
        self.hashes.write_text("\n".join(map(record_text, self._records())))
        issued = self.authority.issue("server")
        arguments = [
            f"--tls-cert={issued.cert}",
            f"--tls-key={issued.key}",
            f"--token-hashes={self.hashes}",
            "--reflection",
        ]
        self.service = Service("gateway", [*upstreams, *arguments])

    def begin(self) -> None:
        """Return once it serves."""
        with self.client(ALICE) as client:
            client.wait_until_ready(TIMEOUT_S)

    def stop(self) -> None:
        """End it. Idempotent."""
        self.service.stop()

    def client(self, name: str | None) -> Client:
        """A client with that principal's token, or with none."""
        token = None if name is None else self.tokens[name]
        return Client(self.service.address, tls=self.authority.client(), token=token)

    def channel(self) -> grpc.Channel:
        """A bare channel; it has no token."""
        return open_sync_channel(self.service.address, self.authority.client())

    def _records(self) -> list[TokenRecord]:
        return [
            TokenRecord(digest=digest_of(token), principal=Principal(name=name), expires=None)
            for name, token in self.tokens.items()
        ]
