"""F-07: services that do not agree, from the start or after a restart: nothing wrong is served."""

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from steeple_client import AsyncClient, TextDelta
from steeple_rpc.errors import Unavailable
from tests.support.cluster import Cluster
from tests.support.deployment import wait_for_event

FAKE = ("--runner=fake", "--fake-step-ms=10")


@pytest.fixture
def own_dir(demo_dir: Path, tmp_path: Path) -> Path:
    """A copy of the demo model that a test may change."""
    copied = tmp_path / "model"
    shutil.copytree(demo_dir, copied)
    return copied


def _other_vocabulary(directory: Path) -> None:
    """Another tokenizer by its fingerprint."""
    path = directory / "tokenizer_config.json"
    path.write_text(path.read_text().rstrip() + "\n\n")


def _other_model(directory: Path) -> None:
    path = directory / "config.json"
    path.write_text(path.read_text().replace('"rms_norm_eps"', '"was_rms_norm_eps"'))


@pytest.mark.parametrize("change", [_other_vocabulary, _other_model])
async def test_a_stream_does_not_go_on_at_something_else(
    own_dir: Path, sockets: Path, change: Callable[[Path], None]
) -> None:
    """It ends ENGINE_LOST with what it has; the gateway tells the truth about new requests."""
    arguments = ["--takeover-timeout-s=8"]
    with Cluster(own_dir, sockets, engine=FAKE, gateway=arguments) as cluster:
        async with AsyncClient(cluster.target) as client:
            stream = client.generate_stream("hello world", max_tokens=900)
            async for event in stream:
                if isinstance(event, TextDelta):
                    break
            change(own_dir)
            cluster.engines[0].signal(signal.SIGKILL)
            await asyncio.to_thread(cluster.replace_engine)
            with pytest.raises(Unavailable) as caught:
                async for _ in stream:
                    pass
            assert caught.value.reason == "ENGINE_LOST"
            engine = cluster.engines[0]
            await asyncio.to_thread(wait_for_event, engine, "ready")
            if change is _other_vocabulary:
                await asyncio.to_thread(wait_for_event, cluster.gateway, "upstream_mismatch")
                with pytest.raises(Unavailable) as refused:
                    await client.generate("hello", max_tokens=2)
                assert refused.value.reason == "UPSTREAM_MISMATCH"


async def test_a_gateway_that_starts_first_waits_for_the_others(
    demo_dir: Path, sockets: Path
) -> None:
    """Cluster starts all at once; the gateway is ready last, whoever was first."""
    with Cluster(demo_dir, sockets, engine=FAKE) as cluster:
        await asyncio.to_thread(wait_for_event, cluster.gateway, "ready")
        names = cluster.gateway.names()
        assert names.index("serving") < names.index("ready")
