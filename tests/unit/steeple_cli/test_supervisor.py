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

GATEWAY = """
import os, pathlib, sys, time
sys.stdin.read()
pathlib.Path("draining").touch()
pid = int(pathlib.Path("engine").read_text())
while True:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        break
    time.sleep(0.01)
"""
"""Drains until the engine's end was noticed."""
TOKENIZER = """
import pathlib, sys, time
while not pathlib.Path("engine").exists():
    time.sleep(0.01)
sys.stderr.write("error: no tokenizer")
sys.exit(2)
"""
ENGINE = """
import os, pathlib, sys, time
pathlib.Path("written").write_text(str(os.getpid()))
pathlib.Path("written").rename("engine")
while not pathlib.Path("draining").exists():
    time.sleep(0.01)
sys.stderr.write("error: no weights")
sys.exit(2)
"""
"""Refuses while the tokenizer service's refusal already ends everything."""


async def test_the_first_refusal_is_told_and_a_second_one_is_no_stray_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A broken model is refused by both services; one line is enough."""
    services = {"gateway": GATEWAY, "tokenizer_svc": TOKENIZER, "engine_svc": ENGINE}
    for module, code in services.items():
        (tmp_path / f"{module}.py").write_text(code)
    monkeypatch.chdir(tmp_path)
    stray: list[dict[str, Any]] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, told: stray.append(told))
    plan = ServePlan(
        model_dir=tmp_path, model_name="m", listen="", grace_s=20, startup_timeout_s=60
    )
    with pytest.raises(ChildRefused, match="no tokenizer"):
        await Supervisor(plan, ServeConsole(level="critical", as_json=True)).run()
    gc.collect()
    assert not stray


async def test_a_start_that_takes_too_long_tells_what_to_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whichever service it is that waits."""
    for module in ("gateway", "tokenizer_svc", "engine_svc"):
        (tmp_path / f"{module}.py").write_text("import sys\nsys.stdin.read()\n")
    monkeypatch.chdir(tmp_path)
    plan = ServePlan(
        model_dir=tmp_path, model_name="m", listen="", grace_s=20, startup_timeout_s=0.1
    )
    with pytest.raises(DeadlineExpired, match=r"not ready within 0\.1 s: raise --startup-timeout"):
        await Supervisor(plan, ServeConsole(level="critical", as_json=True)).run()
