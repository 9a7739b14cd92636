"""Speed of the path: tokens through gateway, tokenizer and engine front, with a model of 0 ms.

    python -m benchmarks.path [--streams 64 256] [--tokens 400] [--rounds 5] [--step-ms 0]

Starts `steeple serve --runner fake` and streams through it. Told are medians over rounds of tokens
and messages per second, and the CPU time of each process per 1,000 tokens, the client's too: on a
machine with few cores they share them, and beside other work only CPU times can be compared.
With one stream: what the path adds to a request of one token, and what paces a token.
"""

import argparse
import math
import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import grpc
import uvloop

from benchmarks.path_load import Load, Stream
from benchmarks.path_services import Services

CLIENT = "client"
_STEP_MS = 5.0
_ONE_TOKEN_REQUESTS = 50


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """One burst of streams."""

    tokens_per_s: float
    messages_per_s: float
    tokens_per_message: float
    p99_gap_ms: float
    """Between two messages of one stream."""
    cpu_ms: dict[str, float]
    """Per 1,000 tokens, by process."""


async def burst(services: Services, load: Load, streams: int, tokens: int) -> Round:
    """Measure one round."""
    before, own, start = services.cpu_s(), time.process_time(), time.perf_counter()
    told = await load.streams(streams, tokens)
    wall_s, own = time.perf_counter() - start, time.process_time() - own
    used = {name: after - before[name] for name, after in services.cpu_s().items()}
    num_tokens = sum(stream.num_tokens for stream in told)
    num_messages = sum(stream.num_deltas for stream in told)
    return Round(
        tokens_per_s=num_tokens / wall_s,
        messages_per_s=num_messages / wall_s,
        tokens_per_message=num_tokens / num_messages,
        p99_gap_ms=1e3 * _p99(sorted(gap for stream in told for gap in stream.gaps_s)),
        cpu_ms={n: 1e6 * s / num_tokens for n, s in {**used, CLIENT: own}.items()},
    )


async def throughput(
    counts: Sequence[int], tokens: int, rounds: int, *, step_ms: float = 0.0
) -> None:
    """Print a table: a line per number of streams, medians over rounds that take turns."""
    options = ["--runner=fake", f"--max-num-seqs={max(counts)}", "--max-num-batched-tokens=4096"]
    done: dict[int, list[Round]] = {count: [] for count in counts}
    async with (
        Services(options, {"STEEPLE_ENGINE_FAKE_STEP_MS": str(step_ms)}) as services,
        grpc.aio.insecure_channel(services.target) as channel,
    ):
        load = Load(channel)
        for number in range(rounds + 1):
            for count in counts:
                measured = await burst(services, load, count, tokens)
                if number > 0:  # the first one warms up
                    done[count].append(measured)
    print(f"{tokens} tokens per stream, {rounds} rounds, medians (minimum to maximum)")
    for count, measured_rounds in done.items():
        print(_line(count, measured_rounds))


def _line(count: int, rounds: Sequence[Round]) -> str:
    def median(of: Callable[[Round], float]) -> float:
        return statistics.median(map(of, rounds))

    rates = [measured.tokens_per_s for measured in rounds]
    names = rounds[0].cpu_ms
    cpu = {name: statistics.median(m.cpu_ms[name] for m in rounds) for name in names}
    return (
        f"{count:>4} streams: {statistics.median(rates):7.0f} tokens/s"
        f" ({min(rates):.0f} to {max(rates):.0f}),"
        f" {median(lambda m: m.messages_per_s):6.0f} messages/s,"
        f" {median(lambda m: m.tokens_per_message):4.1f} tokens per message,"
        f" at most {median(lambda m: m.p99_gap_ms):.0f} ms between messages (p99);"
        " CPU ms per 1,000 tokens: "
        + ", ".join(f"{name} {value:.1f}" for name, value in cpu.items())
        + f", all {sum(cpu.values()):.1f}"
    )


async def latency(tokens: int) -> None:
    """Print what the path adds for a lone stream whose steps take a while."""
    environment = {"STEEPLE_ENGINE_FAKE_STEP_MS": str(_STEP_MS)}
    async with (
        Services(["--runner=fake"], environment) as services,
        grpc.aio.insecure_channel(services.target) as channel,
    ):
        load = Load(channel)
        await load.streams(1, tokens)
        [paced] = await load.streams(1, tokens)
        single: list[Stream] = []
        for _ in range(_ONE_TOKEN_REQUESTS):
            single += await load.streams(1, 1)
    gaps = sorted(paced.gaps_s)
    added = sorted(1e3 * stream.beyond_engine_s for stream in single)
    print(
        f"   1 stream, steps of {_STEP_MS:g} ms: between tokens"
        f" {1e3 * _median(gaps):.2f} ms (p99 {1e3 * _p99(gaps):.2f});"
        f" a request of one token takes {statistics.median(added):.2f} ms (p99 {_p99(added):.2f})"
        " beyond what tokenizer and engine need"
    )


def _median(ordered: Sequence[float]) -> float:
    """NaN where there is nothing: all came as one message."""
    return statistics.median(ordered) if ordered else math.nan


def _p99(ordered: Sequence[float]) -> float:
    """NaN where there is nothing: all came as one message."""
    return ordered[min(len(ordered) - 1, int(0.99 * len(ordered)))] if ordered else math.nan


def main() -> None:
    """Read the command line and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 16, 64, 256])
    parser.add_argument("--tokens", type=int, default=400)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--step-ms", type=float, default=0.0)
    given = parser.parse_args()

    async def measure() -> None:
        await throughput(given.streams, given.tokens, given.rounds, step_ms=given.step_ms)
        await latency(given.tokens)

    uvloop.run(measure())


if __name__ == "__main__":
    main()
