"""Timers of the event loop, as far as they are set for long."""

import asyncio
from typing import Any

import pytest

LONG_S = 1000.0


def recorded_timers(monkeypatch: pytest.MonkeyPatch) -> list[asyncio.TimerHandle]:
    """Gets every timer that the running loop is given from now on for at least LONG_S."""
    timers: list[asyncio.TimerHandle] = []
    loop = asyncio.get_running_loop()
    set_timer = loop.call_later

    def call_later(delay_s: float, *given: Any, **named: Any) -> asyncio.TimerHandle:
        timer = set_timer(delay_s, *given, **named)
        if delay_s >= LONG_S:
            timers.append(timer)
        return timer

    monkeypatch.setattr(loop, "call_later", call_later)
    return timers
