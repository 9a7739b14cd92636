"""`steeple serve --print-config`: what would be started, as a file that asks for the same again.

Each service tells its own table, from the command line that it would be started with.
"""

import asyncio
import sys
from collections.abc import Collection, Mapping, Sequence
from enum import Enum
from pathlib import Path

from steeple_cli.serving.child import ChildRefused
from steeple_cli.serving.options import OPTIONS
from steeple_cli.serving.plan import MODULES, ServePlan, command_lines, settled
from steeple_rpc.config_file import NOT_IN_FILE
from steeple_rpc.errors import DeadlineExpired
from steeple_rpc.toml_table import toml_table

_SOCKETS = Path("DIRECTORY")
_HEAD = f"""\
# What `steeple serve` would start. It settles the lines behind a # itself, whatever a file says;
# {_SOCKETS} is made for the sockets between the services while they run.
"""


async def printed(plan: ServePlan, given: Mapping[str, object]) -> str:
    """[serve] and the table of every service, with every setting that has a value.

    Args:
        plan: what would be started; nothing is.
        given: the value of every option of `steeple serve`, by name.

    Raises:
        ChildRefused: a service could not start with its settings.
        DeadlineExpired: they are not told within the plan's start-up timeout.
    """
    limit_s = plan.startup_timeout_s
    try:
        async with asyncio.timeout(limit_s):
            tables = await _told_by_the_services(plan)
    except TimeoutError:
        raise DeadlineExpired(
            f"the services did not tell their settings within {limit_s:g} s: raise"
            " --startup-timeout",
            reason="NOT_READY",
        ) from None
    return "\n".join([_HEAD, toml_table("serve", _own(given)), *tables])


def _own(given: Mapping[str, object]) -> Mapping[str, object]:
    """What is for `steeple serve` itself, as TOML can hold it."""
    names = [name for name, one in OPTIONS.items() if not one.services and name not in NOT_IN_FILE]
    return {name: _plain(given[name]) for name in names}


def _plain(value: object) -> object:
    match value:
        case Enum():
            return value.value
        case Path():
            return str(value)
        case _:
            return value


async def _told_by_the_services(plan: ServePlan) -> Sequence[str]:
    lines, ours = command_lines(plan, _SOCKETS), settled(plan, _SOCKETS)
    ran = await asyncio.gather(*(_run(MODULES[name], line) for name, line in lines.items()))
    tables = [_table_of(name, *ends) for name, ends in zip(lines, ran, strict=True)]
    return [
        _marked(table, {_setting(argument) for argument in ours[name]})
        for name, table in zip(lines, tables, strict=True)
    ]


async def _run(module: str, arguments: Sequence[str]) -> tuple[int, str, str]:
    """Its status, and what it wrote on stdout and stderr."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", module, *arguments, "--print-config"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    try:
        out, err = await process.communicate()
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
    return process.returncode or 0, out.decode(), err.decode(errors="replace")


def _table_of(service: str, status: int, out: str, err: str) -> str:
    if status != 0:
        told = err.splitlines() or [f"the {service} service ended with status {status}"]
        raise ChildRefused(told[-1])
    return out


def _setting(argument: str) -> str:
    """What an argument sets, as the file names it."""
    return argument.partition("=")[0].removeprefix("--").replace("-", "_")


def _marked(table: str, ours: Collection[str]) -> str:
    """A service's table with the lines behind a # that another value would not change."""
    return "\n".join(
        f"# {line}" if line.partition(" = ")[0] in ours else line for line in table.split("\n")
    )
