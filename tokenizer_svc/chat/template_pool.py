"""Template workers in turn: a template that is lost with its worker harms nobody else.

Compiling and rendering happen in the workers alone; the service's own process never runs a
template.
"""

import itertools
import queue
from collections.abc import Mapping
from dataclasses import asdict
from types import TracebackType
from typing import Any, Self

from steeple_rpc.errors import EngineFault, InvalidRequest
from steeple_rpc.telemetry import logger
from tokenizer_svc.chat.template_meter import RenderLimits
from tokenizer_svc.chat.template_process import TemplateProcess, WorkerLost, WorkerOverran
from tokenizer_svc.errors import StartupError

MAX_ATTEMPTS = 2


class TemplatePool:
    """Workers that render templates. May be used by many threads; a context manager.

    Args:
        num_workers: renderings at a time; more wait for a worker.
    """

    def __init__(self, num_workers: int) -> None:
        self._sources: dict[int, str] = {}
        self._numbers = itertools.count(1)
        self._idle: queue.LifoQueue[TemplateProcess] = queue.LifoQueue()
        for _ in range(num_workers):
            self._idle.put(TemplateProcess())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        while not self._idle.empty():
            self._idle.get().close()

    def template(self, source: str) -> "PooledTemplate":
        """A template of a model's directory, compiled.

        Raises:
            StartupError: it cannot be used.
        """
        number = next(self._numbers)
        worker = self._idle.get()
        try:
            worker = _living(worker)
            refused = worker.compile(number, source)
        except (WorkerLost, WorkerOverran):
            refused = "the chat template cannot be compiled: its worker process ended"
            worker = TemplateProcess()
        finally:
            self._idle.put(worker)
        if refused is not None:
            raise StartupError(refused)
        self._sources[number] = source
        return PooledTemplate(self, number)

    def render(self, number: int, variables: Mapping[str, Any], limits: RenderLimits) -> str:
        """Render on whichever worker is idle next; see `PooledTemplate.render`."""
        for _ in range(MAX_ATTEMPTS):
            worker = self._idle.get()
            try:
                worker = _living(worker)
                if number not in worker.known:
                    worker.compile(number, self._sources[number])
                return worker.render(number, dict(variables), asdict(limits))
            except WorkerOverran:
                logger().warning("template_overran", pid=worker.pid)
                worker = TemplateProcess()
                raise InvalidRequest(
                    "the model's chat template takes too long",
                    reason="TEMPLATE_FAILED",
                    field="messages",
                ) from None
            except WorkerLost:
                logger().error("template_worker_lost", pid=worker.pid)
                worker = TemplateProcess()
            finally:
                self._idle.put(worker)
        raise EngineFault("the template worker was lost", reason="TEMPLATE_WORKER_LOST")


def _living(worker: TemplateProcess) -> TemplateProcess:
    """The worker, or another one for it where it died idle: that is nobody's attempt."""
    if worker.is_alive:
        return worker
    logger().warning("template_worker_died", pid=worker.pid)
    worker.close()
    return TemplateProcess()


class PooledTemplate:
    """One compiled template; see `chat.encoder.Template`."""

    def __init__(self, pool: TemplatePool, number: int) -> None:
        self._pool = pool
        self._number = number

    def render(self, variables: Mapping[str, Any], limits: RenderLimits) -> str:
        """Render; blocks, so not on an event loop.

        Raises:
            InvalidRequest: reason TEMPLATE_FAILED.
            EngineFault: reason TEMPLATE_WORKER_LOST.
        """
        return self._pool.render(self._number, variables, limits)
