"""The options of client commands that make a connection safe, against a server that asks for it."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from steeple_cli.app import app
from steeple_rpc.auth.authenticators import BearerTokens
from steeple_rpc.auth.failures import FailureLimit
from steeple_rpc.auth.interceptor import AuthInterceptor
from steeple_rpc.auth.token_table import TokenRecord, TokenTable, digest_of, new_token
from steeple_rpc.principal import Principal
from tests.support.answers import generate_events, played
from tests.support.certificates import Authority
from tests.support.scripted import ScriptedInference
from tests.support.servers import serving


@dataclass(frozen=True, slots=True, kw_only=True)
class Guarded:
    """A server with mutual TLS and tokens, and what opens it."""

    address: str
    authority: Authority
    token: str


@pytest.fixture
async def guarded(tmp_path: Path) -> AsyncIterator[Guarded]:
    authority, token = Authority(tmp_path / "ca"), new_token()
    record = TokenRecord(digest=digest_of(token), principal=Principal(name="alice"), expires=None)
    table = TokenTable([record])
    guard = AuthInterceptor(
        BearerTokens(lambda: table, lambda: datetime.now(UTC)), FailureLimit(lambda: 0.0)
    )
    script = ScriptedInference(generate_stream=played(generate_events("4")))
    settings = authority.server(mtls=True)
    async with serving(script.add_to, interceptors=[guard], **settings) as served:
        yield Guarded(address=served.address, authority=authority, token=token)


async def steeple(*arguments: str, env: dict[str, str] | None = None) -> Result:
    """The command, in a thread: the server lives in the test's loop."""
    return await asyncio.to_thread(CliRunner().invoke, app, arguments, env=env)


def tls(guarded: Guarded) -> list[str]:
    """The options of a client with a certificate of the right authority."""
    issued = guarded.authority.issue("client", "c@test.invalid", common_name="client")
    return [
        f"--target={guarded.address}",
        f"--tls-ca={guarded.authority.ca}",
        f"--tls-cert={issued.cert}",
        f"--tls-key={issued.key}",
    ]


async def test_certificate_and_token_open_the_door(guarded: Guarded, tmp_path: Path) -> None:
    """The token from the option, the environment or a file; a line end in the file is no part."""
    file = tmp_path / "token"
    file.write_text(guarded.token + "\n")
    for options, env in (
        ([f"--token={guarded.token}"], {}),
        ([], {"STEEPLE_TOKEN": guarded.token}),
        ([f"--token-file={file}"], {}),
    ):
        result = await steeple("generate", "2+2=", *tls(guarded), *options, env=env)
        assert (result.exit_code, result.stdout, result.stderr) == (0, "4\n", "")


async def test_without_a_token_the_refusal_is_told_with_its_reason(guarded: Guarded) -> None:
    result = await steeple("generate", "2+2=", *tls(guarded))
    assert result.exit_code == 1
    assert result.stderr.startswith("error: UNAUTHENTICATED TOKEN_MISSING: ")


async def test_without_a_certificate_there_is_no_connection(guarded: Guarded) -> None:
    """And waiting for readiness needs a connection, but no token."""
    alone = tls(guarded)[:2]
    result = await steeple("generate", "2+2=", *alone, f"--token={guarded.token}")
    assert result.exit_code == 1
    assert result.stderr.startswith("error: UNAVAILABLE: ")
    assert (await steeple("wait", "--timeout=0.5", *alone)).exit_code == 1
    assert (await steeple("wait", "--timeout=30", *tls(guarded))).exit_code == 0


async def test_a_file_that_cannot_be_used_ends_2_and_is_named(
    guarded: Guarded, tmp_path: Path
) -> None:
    missing = tmp_path / "missing"
    for option in ("--tls-ca", "--token-file"):
        result = await steeple("wait", f"--target={guarded.address}", f"{option}={missing}")
        assert result.exit_code == 2
        assert result.stderr.count("\n") == 1
        assert str(missing) in result.stderr
    result = await steeple("wait", f"--tls-cert={missing}")
    assert (result.exit_code, "together" in result.stderr) == (2, True)


async def test_a_token_never_leaves_this_machine_in_plaintext() -> None:
    """Refused before a connection is tried; the token is not in what is told."""
    token = new_token()
    result = await steeple("generate", "x", "--target=192.0.2.1:50051", f"--token={token}")
    assert result.exit_code == 1
    assert "TOKEN_NEEDS_TLS" in result.stderr
    assert token not in result.output
