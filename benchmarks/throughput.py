"""Tokens per second of the demo model: through the gateway, and of the core driven directly.

python benchmarks/throughput.py [--streams 1 16] [--tokens 200] [--rounds 5]

Rounds of both alternate, so that a machine that slows down slows both; medians are reported.
"""

import argparse
import asyncio
import os
import statistics
import time
from collections.abc import Awaitable, Callable

from engine_svc.core.messages import AddRequest, CoreConfig, Ready, StepOutputs
from engine_svc.core.params import RequestId, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.threads import available_cores, default_num_threads, thread_environment
from engine_svc.core_process import CoreProcess
from steeple_cli.load.caller import Callers
from steeple_cli.load.figures import figures
from steeple_cli.load.history import LoadRequest
from steeple_cli.load.loops import closed_loop
from steeple_cli.load.sample import sample_of
from steeple_cli.serving.console import ServeConsole
from steeple_cli.serving.demo import free_port
from steeple_cli.serving.plan import ServePlan
from steeple_cli.serving.supervisor import Supervisor
from steeple_client import AsyncClient, GenerateOptions
from steeple_demo import model_dir

PROMPT = "What is 12+30?"
Round = Callable[[int, int], Awaitable[float]]


async def through_gateway(callers: Callers, streams: int, tokens: int) -> float:
    """Tokens per second of `streams` requests at once."""
    options = GenerateOptions(max_tokens=tokens, ignore_eos=True)
    requests = (LoadRequest(name=str(n), prompt=PROMPT, options=options) for n in range(streams))
    histories = await closed_loop(callers.send, requests, num_callers=streams)
    for history in histories:
        if history.error is not None:
            raise history.error
    return figures([sample_of(history) for history in histories]).rates.tokens_per_s


class DirectCore:
    """A core process and nothing else: no gRPC, no tokenizer."""

    def __init__(self, core: CoreProcess, prompt_ids: tuple[int, ...]) -> None:
        self._core = core
        self._prompt_ids = prompt_ids
        self._num_made = 0

    async def run(self, streams: int, tokens: int) -> float:
        """Tokens per second of `streams` requests at once."""
        start = time.perf_counter()
        for _ in range(streams):
            self._num_made += 1
            self._core.send(AddRequest(spec=self._spec(tokens)))
        num_left, count = streams, 0
        async for event in self._core.events():
            if isinstance(event, StepOutputs):
                count += sum(len(output.token_ids) for output in event.outputs)
                num_left -= sum(output.finish_reason is not None for output in event.outputs)
            if num_left == 0:
                break
        return count / (time.perf_counter() - start)

    def _spec(self, tokens: int) -> RequestSpec:
        return RequestSpec(
            request_id=RequestId(f"r{self._num_made}"),
            prompt_token_ids=self._prompt_ids,
            sampling=SamplingParams(temperature=0.0),
            stopping=StoppingParams(max_tokens=tokens),
        )


async def measure(streams: list[int], tokens: int, rounds: int) -> None:
    """Print one line per number of streams."""
    target = f"127.0.0.1:{free_port()}"
    plan = ServePlan(
        model_dir=model_dir(), model_name="demo", listen=target, grace_s=1, startup_timeout_s=120
    )
    supervisor = Supervisor(plan, ServeConsole(level="error", as_json=False))
    serving = asyncio.create_task(supervisor.run())
    await supervisor.ready.wait()
    core = CoreProcess()
    threads = default_num_threads(available_cores())
    config = CoreConfig(model_dir=str(model_dir()), runner="fms", num_threads=threads)
    await core.start(config, thread_environment(threads, os.environ))
    async for event in core.events():
        if isinstance(event, Ready):
            break
    async with AsyncClient(target) as client:
        callers = Callers([client])
        probe = await client.generate(PROMPT, max_tokens=1)
        direct = DirectCore(core, tuple(range(5, 5 + probe.usage.num_prompt_tokens)))
        for count in streams:
            gateway = [0.0] * rounds
            alone = [0.0] * rounds
            for index in range(rounds):
                gateway[index] = await through_gateway(callers, count, tokens)
                alone[index] = await direct.run(count, tokens)
            ratio = statistics.median(g / a for g, a in zip(gateway, alone, strict=True))
            print(
                f"{count:>3} streams: gateway {statistics.median(gateway):7.0f} tokens/s"
                f" ({min(gateway):.0f} to {max(gateway):.0f}), core alone"
                f" {statistics.median(alone):7.0f} ({min(alone):.0f} to {max(alone):.0f}),"
                f" ratio {ratio:.2f}"
            )
    await core.stop()
    supervisor.request_stop()
    await serving


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16])
    parser.add_argument("--tokens", type=int, default=200)
    parser.add_argument("--rounds", type=int, default=5)
    given = parser.parse_args()
    asyncio.run(measure(given.streams, given.tokens, given.rounds))


if __name__ == "__main__":
    main()
