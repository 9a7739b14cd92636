"""F-02: the tokenizer service is killed under streams and under encodes.

Streams go on with exactly the text of the uncut answer, stop strings across the cut included; only
where no service comes in time do they end TOKENIZER_LOST, and their blocks are free then.
"""

import asyncio
import signal
from pathlib import Path

import pytest

from steeple_cli.load.history import End, History, LoadRequest
from steeple_cli.load.loops import closed_loop
from steeple_client import AsyncClient, Event, TextDelta
from steeple_rpc.errors import Unavailable
from tests.support.cluster import Cluster
from tests.support.deployment import wait_for_event
from tests.support.fault_counts import count
from tests.support.guarantees import Expected, Promise, canary, violations
from tests.support.pace import Pace
from tests.support.resumed import MAX_TOKENS as MAX_TOKENS_OF_KINDS
from tests.support.resumed import all_kinds, read_all
from tests.support.traffic import callers, echo
from tests.support.waiting import eventually

FAKE = ("--runner=fake", "--fake-step-ms=1", "--max-num-seqs=128", "--max-num-waiting=512")
HASTY = ("--takeover-timeout-s=0.3",)
MAX_TOKENS = 200
NUM_BEFORE = 5
"""Tokens of each stream that have come when it happens."""
PROMPT = "tell me more about it"


async def _killed_under_load(
    cluster: Cluster, pace: Pace, *, is_replaced: bool, num_streams: int
) -> list[History]:
    """The histories of streams that have a part of their text when the service is killed."""
    begun: set[str] = set()

    def note(request: LoadRequest, event: Event) -> None:
        if isinstance(event, TextDelta) and event.num_completion_tokens >= NUM_BEFORE:
            begun.add(request.name)

    pace.slow()
    async with callers(cluster.target, num_connections=2, on_event=note) as sending:
        requests = [echo(f"c{number:06d}", max_tokens=MAX_TOKENS) for number in range(num_streams)]
        load = asyncio.create_task(closed_loop(sending.send, requests, num_callers=num_streams))
        await asyncio.to_thread(eventually, lambda: len(begun) == num_streams)
        if is_replaced:
            await asyncio.to_thread(cluster.replace_tokenizer)
        else:
            cluster.tokenizer.signal(signal.SIGKILL)
        pace.fast()
        return await load


async def test_streams_go_on_where_their_text_was_cut(
    demo_dir: Path, sockets: Path, pace: Pace
) -> None:
    with Cluster(demo_dir, sockets, engine=FAKE, pace=pace) as cluster:
        async with AsyncClient(cluster.target) as client:
            sample = await client.generate(
                f"{canary(echo('c000000'))} tell ", max_tokens=MAX_TOKENS, temperature=0.0
            )

        def expected(request: LoadRequest) -> Expected:
            return Expected(text=sample.text.replace("c000000", request.name))

        histories = await _killed_under_load(
            cluster, pace, is_replaced=True, num_streams=count(16, 100)
        )
        promise = Promise(max_s=60, expected=expected, has_canaries=True)
        broken = violations(histories, promise)
        assert not broken, "\n".join(broken[:10])
        assert all(history.end is End.DONE for history in histories)
        await asyncio.to_thread(wait_for_event, cluster.gateway, "detokenize_stream_lost")
        await asyncio.to_thread(cluster.wait_until_idle)


async def test_token_details_go_on_where_their_text_was_cut(
    demo_dir: Path, sockets: Path, pace: Pace
) -> None:
    """Every kind of request: each token with its own odds and its candidates' texts, once."""
    sampled = (*FAKE, "--fake-reply=sampled")
    with Cluster(demo_dir, sockets, engine=sampled, pace=pace) as cluster:
        kinds = await all_kinds(cluster.target, PROMPT)
        whole = await read_all(cluster.target, PROMPT, kinds, cache_salt="whole")
        has_begun = asyncio.Event()

        def note(num_tokens: int) -> None:
            if num_tokens >= MAX_TOKENS_OF_KINDS // 4:
                has_begun.set()

        pace.slow()
        asked = read_all(cluster.target, PROMPT, kinds, note, cache_salt="cut")
        reading = asyncio.create_task(asked)
        await has_begun.wait()
        await asyncio.to_thread(cluster.replace_tokenizer)
        pace.fast()
        cut = await reading
        await asyncio.to_thread(wait_for_event, cluster.gateway, "detokenize_stream_lost")
    assert any(token.top for token in whole["logprobs"].tokens)
    for kind, answer in whole.items():
        assert cut[kind].told() == answer.told(), kind


async def test_without_a_service_in_time_streams_end_and_free_their_blocks(
    demo_dir: Path, sockets: Path, pace: Pace
) -> None:
    with Cluster(demo_dir, sockets, engine=FAKE, gateway=HASTY, pace=pace) as cluster:
        histories = await _killed_under_load(
            cluster, pace, is_replaced=False, num_streams=count(8, 100)
        )
        promise = Promise(allowed=frozenset({"TOKENIZER_LOST"}), max_s=60, has_canaries=True)
        broken = violations(histories, promise)
        assert not broken, "\n".join(broken[:10])
        assert all(history.end is End.FAILED for history in histories)
        await asyncio.to_thread(cluster.wait_until_idle)


async def test_a_text_is_encoded_by_the_service_that_comes_back(
    demo_dir: Path, sockets: Path
) -> None:
    """A stopped process holds the call; killed, it loses it; the next one answers it."""
    with Cluster(demo_dir, sockets, engine=FAKE) as cluster:
        async with AsyncClient(cluster.target) as client:
            cluster.tokenizer.signal(signal.SIGSTOP)
            asking = asyncio.create_task(client.generate("hello world", max_tokens=4))
            done, _ = await asyncio.wait({asking}, timeout=0.3)
            assert not done
            await asyncio.to_thread(cluster.replace_tokenizer)
            assert (await asking).usage.num_completion_tokens == 4


async def test_a_text_that_nobody_encodes_in_time_is_refused(demo_dir: Path, sockets: Path) -> None:
    with Cluster(demo_dir, sockets, engine=FAKE, gateway=HASTY) as cluster:
        async with AsyncClient(cluster.target) as client:
            cluster.tokenizer.signal(signal.SIGSTOP)
            asking = asyncio.create_task(client.generate("hello world", max_tokens=4))
            done, _ = await asyncio.wait({asking}, timeout=0.3)
            assert not done
            cluster.tokenizer.signal(signal.SIGKILL)
            with pytest.raises(Unavailable) as caught:
                await asking
            assert caught.value.reason == "TOKENIZER_LOST"
