"""The options that every client command has, and what it does with failures."""

import functools
import inspect
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any

from steeple_cli.connecting.remedies import told_with_remedy
from steeple_cli.conventions.ending import end
from steeple_cli.conventions.exits import FAILED, USAGE_ERROR
from steeple_cli.conventions.option import option, switch
from steeple_client import DEFAULT_TARGET, NO_RETRIES, AsyncClient, ChannelTls, Client
from steeple_rpc.errors import ServiceError
from steeple_rpc.refused import SettingRefused

_PANEL = "Connection"


@dataclass(frozen=True, slots=True, kw_only=True)
class Connection:
    """Where the gateway is, and how both sides prove who they are; one option per field."""

    target: Annotated[
        str, option("the gateway, HOST:PORT", _PANEL, "--target", envvar="STEEPLE_TARGET")
    ] = DEFAULT_TARGET
    tls: Annotated[bool, switch("by TLS; public authorities vouch for it", _PANEL, "--tls")] = False
    tls_ca: Annotated[
        Path | None, option("by TLS; this authority (PEM) vouches", _PANEL, envvar="STEEPLE_TLS_CA")
    ] = None
    tls_cert: Annotated[Path | None, option("your certificate (PEM), for mutual TLS", _PANEL)] = (
        None
    )
    tls_key: Annotated[Path | None, option("its key (PEM)", _PANEL)] = None
    token: Annotated[
        str | None,
        option("your token; better not on a command line", _PANEL, envvar="STEEPLE_TOKEN"),
    ] = None
    token_file: Annotated[Path | None, option("file with your token", _PANEL)] = None

    def open(self) -> Client:
        """A client for it.

        Raises:
            ServiceError: the options do not go together, or a file cannot be used.
        """
        return Client(self.target, tls=self._channel_tls(), token=self.token_file or self.token)

    def open_to_measure(self) -> AsyncClient:
        """Likewise, for the event loop that runs; each of its calls is made once.

        What is tried again unseen would be measured as one slow call.
        """
        return AsyncClient(
            self.target,
            tls=self._channel_tls(),
            token=self.token_file or self.token,
            retries=NO_RETRIES,
        )

    def _channel_tls(self) -> ChannelTls | None:
        if not (self.tls or self.tls_ca or self.tls_cert or self.tls_key):
            return None
        return ChannelTls(ca=self.tls_ca, cert=self.tls_cert, key=self.tls_key)


def connection_parameters() -> list[inspect.Parameter]:
    """What typer makes the options of; they bear the names of the fields."""
    return [
        inspect.Parameter(
            field.name, inspect.Parameter.KEYWORD_ONLY, default=field.default, annotation=field.type
        )
        for field in fields(Connection)
    ]


def client_command(command: Callable[..., None]) -> Callable[..., None]:
    """Give a command an option per field of its parameter `connection`."""
    signature = inspect.signature(command)
    added = connection_parameters()
    own = [each for name, each in signature.parameters.items() if name != "connection"]

    @functools.wraps(command)
    def run(**given: Any) -> None:  # what typer parsed, of any type
        connection = Connection(**{each.name: given.pop(each.name) for each in added})
        command(**given, connection=connection)

    run.__dict__["__signature__"] = signature.replace(parameters=[*own, *added])
    return run


@contextmanager
def connected(connection: Connection) -> Iterator[Client]:
    """A client for the block, whose failures are told as `failures_told` does."""
    with failures_told(), connection.open() as client:
        yield client


@contextmanager
def failures_told() -> Iterator[None]:
    """End the process with 1 after a typed failure, with 2 for options that cannot be used.

    Either goes to stderr in one line.
    """
    try:
        yield
    except SettingRefused as error:
        end(USAGE_ERROR, str(error))
    except ServiceError as error:
        end(FAILED, told_with_remedy(error))
