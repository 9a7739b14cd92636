"""`steeple demo`: the whole service, the demo model, one verified answer, nothing left behind."""

import asyncio
import socket
import sys
from contextlib import aclosing

from steeple_cli.conventions.ending import end
from steeple_cli.conventions.exits import FAILED
from steeple_cli.locating.model_path import find_model
from steeple_cli.serving.child import ChildRefused
from steeple_cli.serving.console import ServeConsole
from steeple_cli.serving.current_folder import check_current_folder
from steeple_cli.serving.plan import ServePlan
from steeple_cli.serving.supervisor import Supervisor
from steeple_client import AsyncClient, TextDelta, user
from steeple_rpc.errors import Cancelled, ServiceError

QUESTION = "What is 2+2?"
ANSWER = "4"
STARTUP_TIMEOUT_S = 300.0
ANSWER_TIMEOUT_S = 60.0


def demo() -> None:
    """Serve the demo model, ask it what 2+2 is, check the answer.

    Ends 0 if it is right; nothing is left behind.
    """
    try:
        text = asyncio.run(_demonstrate())
    except (ChildRefused, ServiceError) as error:
        end(FAILED, str(error))
    if text.strip() != ANSWER:
        end(FAILED, f"the answer to {QUESTION!r} must be {ANSWER!r}; it was {text!r}")
    sys.stdout.write("verified; all services have ended\n")


async def _demonstrate() -> str:
    """Serve while one question is asked; the answer."""
    check_current_folder()
    listen = f"127.0.0.1:{free_port()}"
    plan = ServePlan(
        model_dir=find_model(None),
        model_name="demo",
        listen=listen,
        grace_s=5.0,
        startup_timeout_s=STARTUP_TIMEOUT_S,
    )
    supervisor = Supervisor(plan, ServeConsole(level="warning", as_json=False))
    serving = asyncio.create_task(supervisor.run())
    asking = asyncio.create_task(_ask(listen, supervisor.ready))
    try:
        await asyncio.wait({serving, asking}, return_when="FIRST_COMPLETED")
        if serving.done():
            serving.result()
            raise Cancelled("stopped before the answer was there")
        return await asking
    finally:
        asking.cancel()
        supervisor.request_stop()
        await asyncio.gather(serving, return_exceptions=True)


async def _ask(listen: str, ready: asyncio.Event) -> str:
    """Stream one answer to stdout."""
    await ready.wait()
    async with AsyncClient(listen) as client:
        sys.stdout.write(f"{QUESTION} ")
        texts = []
        stream = client.chat_stream([user(QUESTION)], timeout_s=ANSWER_TIMEOUT_S)
        async with aclosing(stream) as events:
            async for event in events:
                if isinstance(event, TextDelta):
                    sys.stdout.write(event.text)
                    sys.stdout.flush()
                    texts.append(event.text)
        sys.stdout.write("\n")
        return "".join(texts)


def free_port() -> int:
    """A loopback port that nobody has now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port
