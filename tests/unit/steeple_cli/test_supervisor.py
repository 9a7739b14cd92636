"""Three children and one end: what the supervisor does when they give up."""

import asyncio
import gc
from pathlib import Path
from typing import Any

import pytest

from steeple_cli.serving.child import ChildRefused
from steeple_cli.serving.console import ServeConsole
from steeple_cli.serving.plan import ServePlan
from steeple_cli.serving.supervisor import Supervisor
from steeple_rpc.errors import DeadlineExpired

REFUSES = """
import sys
sys.stderr.write("error: no tokenizer")
sys.exit(2)
"""
WAITS = "import sys; sys.stdin.read()"


class Played:
    """A child without a process: it refuses at once, or runs until it is to end."""

    def __init__(self, refusal: str = "") -> None:
        self._refusal = refusal
        self._stopping = asyncio.Event()
        self.is_over = False

    async def keep_running(self) -> None:
        if self._refusal:
            raise ChildRefused(self._refusal)
        await self._stopping.wait()
        self.is_over = True

    def hurry(self) -> None:
        self._stopping.set()

    async def stop(self, _: float) -> None:
        self._stopping.set()


async def test_a_refusal_ends_everything_and_is_told(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    services = {"gateway": WAITS, "tokenizer_svc": REFUSES, "engine_svc": WAITS}
    for module, code in services.items():
        (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    plan = ServePlan(
        model_dir=tmp_path, model_name="m", listen="", grace_s=20, startup_timeout_s=60
    )
    with pytest.raises(ChildRefused, match="no tokenizer"):
        await Supervisor(plan, ServeConsole(level="critical", as_json=True)).run()


async def test_a_second_refusal_is_no_stray_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken model is refused by both services, at once: one line is enough."""
    gateway = Played()
    children = [gateway, Played("error: no tokenizer"), Played("error: no weights")]
    monkeypatch.setattr(Supervisor, "_children", lambda *_: children)
    stray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: stray.append(told))
    plan = ServePlan(
        model_dir=tmp_path, model_name="m", listen="", grace_s=20, startup_timeout_s=60
    )
    with pytest.raises(ChildRefused, match=r"no (tokenizer|weights)"):
        await Supervisor(plan, ServeConsole(level="critical", as_json=True)).run()
    assert gateway.is_over
    gc.collect()
    assert not stray


async def test_a_start_that_takes_too_long_tells_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever service it is that waits."""
    for module in ("gateway", "tokenizer_svc", "engine_svc"):
        (tmp_path / f"{module}.py").write_text(WAITS)
    monkeypatch.chdir(tmp_path)
    plan = ServePlan(
        model_dir=tmp_path, model_name="m", listen="", grace_s=20, startup_timeout_s=0.1
    )
    with pytest.raises(DeadlineExpired, match=r"not ready within 0\.1 s: raise --startup-timeout"):
        await Supervisor(plan, ServeConsole(level="critical", as_json=True)).run()
