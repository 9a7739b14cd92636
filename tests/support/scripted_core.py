"""Cores that do what a test says, and a keeper's user that remembers what it is told."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field

from engine_svc.core.messages import (
    Command,
    CoreConfig,
    EngineInfo,
    Event,
    Ping,
    Ready,
    StepOutputs,
)
from engine_svc.core.outputs import SchedulerLoad
from engine_svc.core_link import CoreLost
from tests.support.engine_infos import engine_info

LOAD = SchedulerLoad(
    num_running=0,
    num_waiting=0,
    num_waiting_tokens=0,
    num_free_blocks=1,
    num_used_blocks=0,
    num_cached_blocks=0,
    num_total_blocks=1,
)


def stepped(step_s: float = 0.01, *, num_obeyed: int = 1, is_idle: bool = True) -> StepOutputs:
    """A step that took so long and did nothing for anybody."""
    return StepOutputs(
        outputs=(),
        load=LOAD,
        num_steps=1,
        num_output_tokens=0,
        num_obeyed=num_obeyed,
        is_idle=is_idle,
        step_s=step_s,
    )


class ScriptedCore:
    """An EngineCore: tells what it is given, then is silent, or lost."""

    def __init__(self) -> None:
        self.commands: list[Command] = []
        self.answers_pings = False
        """Whether it does, at once, as one that has obeyed everything."""
        self.ended = ""
        """How it was ended: "stopped", "killed", or not yet."""
        self._events: asyncio.Queue[Event | None] = asyncio.Queue()

    def tell(self, *events: Event) -> None:
        """Let it tell these."""
        for event in events:
            self._events.put_nowait(event)

    def become_ready(self, *, longest_step_s: float = 0.0) -> None:
        """Let it tell that it is."""
        self.tell(Ready(info=engine_info(), longest_step_s=longest_step_s))

    def lose(self) -> None:
        """Let it be gone once all is told."""
        self._events.put_nowait(None)

    async def start(self, config: CoreConfig, environment: Mapping[str, str]) -> None:
        """Nothing loads by itself."""

    def send(self, command: Command) -> None:
        """Remember it."""
        self.commands.append(command)
        if isinstance(command, Ping) and self.answers_pings:
            self.tell(stepped(0.0, num_obeyed=len(self.commands)))

    async def events(self) -> AsyncIterator[Event]:
        """What it was told to tell."""
        while (event := await self._events.get()) is not None:
            yield event
        raise CoreLost("scripted")

    async def stop(self) -> None:
        """Remember it."""
        self.ended = self.ended or "stopped"

    async def kill(self) -> None:
        """Remember it."""
        self.ended = self.ended or "killed"


@dataclass
class RecordingUser:
    """A CoreUser that owes and is owed what the test says."""

    has_work: bool = False
    lost: list[CoreLost] = field(default_factory=list)
    told: list[StepOutputs] = field(default_factory=list)
    ready: asyncio.Event = field(default_factory=asyncio.Event)
    losing: asyncio.Event = field(default_factory=asyncio.Event)
    """A core was lost, and no other is ready yet."""

    async def core_ready(self, info: EngineInfo) -> None:
        """Let the test go on."""
        self.losing.clear()
        self.ready.set()

    def core_told(self, outputs: StepOutputs) -> bool:
        """Remember it."""
        self.told.append(outputs)
        return self.has_work

    async def core_lost(self, error: CoreLost) -> None:
        """Remember it."""
        self.ready.clear()
        self.lost.append(error)
        self.losing.set()
