"""Everything behind the gateway: the engines, the tokenizer service, the catalog of the moment."""

import asyncio
from collections.abc import Callable, Mapping, Sequence

from gateway.catalog import Catalog, EngineState
from gateway.changes import Changes
from gateway.clients.detokenizer import DetokenizeClient
from gateway.clients.tokenizer import TokenizerClient
from gateway.upstream_values import TokenizerFacts
from gateway.upstreams import Engine, Upstream, open_upstream
from steeple_rpc.lifecycle import OnReady
from steeple_rpc.telemetry import logger
from steeple_rpc.tls.channel_tls import ChannelTls


class Backends:
    """Owns the connections to all upstream services.

    Args:
        tokenizer: target of the tokenizer service.
        engines: targets of the engines.
        clock: monotonic seconds.
        takeover_timeout_s: so long requests wait for a tokenizer service that was lost.
        stall_s: so long a service may leave a question unanswered.
        tls: for all that are not Unix sockets, which file modes guard; None = plaintext.

    Raises:
        TlsRefused: a file of `tls` cannot be used.
    """

    def __init__(
        self,
        *,
        tokenizer: str,
        engines: Sequence[str],
        clock: Callable[[], float],
        takeover_timeout_s: float,
        stall_s: float,
        tls: ChannelTls | None = None,
    ) -> None:
        self._changed = asyncio.Event()
        self.changes = Changes()
        self._channel = open_upstream(tokenizer, tls)
        self.tokenizer = TokenizerClient(self._channel, patience_s=takeover_timeout_s)
        self.detokenizer = DetokenizeClient(
            self._channel, self.tokenizer.facts, clock, patience_s=takeover_timeout_s
        )
        self._tokenizers = Upstream[Mapping[str, TokenizerFacts]](
            tokenizer,
            self._channel,
            self.tokenizer.facts,
            self._note_change,
            on_stall=self.detokenizer.break_off,
            stall_s=stall_s,
        )
        self.engines = [
            Engine(target, self._note_change, tls, stall_s=stall_s, clock=clock)
            for target in engines
        ]
        self._known_models: frozenset[str] = frozenset()

    def catalog(self) -> Catalog:
        """What can be served now."""
        states = [
            EngineState(index=index, facts=engine.facts, load=engine.load)
            for index, engine in enumerate(self.engines)
            if engine.facts is not None
        ]
        self._known_models |= {state.facts.model for state in states}
        return Catalog(
            engines=states,
            tokenizers=self._tokenizers.facts or {},
            known_models=self._known_models,
        )

    async def follow(self, on_ready: OnReady, on_served: Callable[[str], None]) -> None:
        """Keep everything true until cancelled.

        Args:
            on_ready: awaited with ready=… after each change.
            on_served: told each model that can be asked for from now on.
        """
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._tokenizers.follow())
            tasks.create_task(self.detokenizer.run())
            for engine in self.engines:
                tasks.create_task(engine.follow())
            tasks.create_task(self._tell(on_ready, on_served))

    async def close(self) -> None:
        """Give all connections back."""
        await asyncio.gather(
            self._channel.close(None), *(engine.close() for engine in self.engines)
        )

    def _note_change(self) -> None:
        self._changed.set()
        self.changes.tell()

    async def _tell(self, on_ready: OnReady, on_served: Callable[[str], None]) -> None:
        served: set[str] = set()
        while True:
            await self._changed.wait()
            self._changed.clear()
            catalog = self.catalog()
            for model in catalog.models:
                if catalog.tokenizers and not catalog.is_served(model):
                    logger().error("upstream_mismatch", model=model)
            now_served = {model for model in catalog.models if catalog.is_served(model)}
            for model in sorted(now_served - served):
                logger().info("model_served", model=model, **catalog.room(model))
                on_served(model)
            served = now_served
            await on_ready(ready=catalog.is_ready)
