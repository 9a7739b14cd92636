"""Each service runs with its own extra alone; without it, it names the command that mends that."""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager

import pytest

from steeple_client import Client, TextDelta, user
from steeple_demo import model_dir
from steeple_rpc.settings import USAGE_ERROR
from tests.support.deployment import TIMEOUT_S, Service
from tests.support.wheels import INSTALLED, PACKAGES, Environments, run

pytestmark = pytest.mark.timeout(1800 if INSTALLED else 300)


@contextmanager
def started(environments: Environments, extra: str, module: str, *args: str) -> Iterator[Service]:
    """A service in the environment of its own extra."""
    service = Service(module, args, python=environments(extra).python)
    try:
        yield service
    finally:
        service.stop()


def is_ready(service: Service) -> bool:
    """What its health says."""
    with Client(service.address) as client:
        return client.is_ready()


def test_three_environments_with_one_extra_each_serve_together(environments: Environments) -> None:
    """Tokenizer and engine are ready alone, the gateway with both; then an answer streams."""
    model = model_dir()
    engine_args = (f"--model={model}", "--served-model-name=demo", "--num-threads=1")
    with ExitStack() as stack:
        tokenizer = stack.enter_context(
            started(environments, "tokenizer", "tokenizer_svc", f"--model=demo={model}")
        )
        engine = stack.enter_context(started(environments, "engine", "engine_svc", *engine_args))
        upstreams = (f"--tokenizer={tokenizer.address}", f"--engine={engine.address}")
        gateway = stack.enter_context(started(environments, "gateway", "gateway", *upstreams))
        for service in (tokenizer, engine, gateway):
            with Client(service.address) as client:
                client.wait_until_ready(TIMEOUT_S)
        with Client(gateway.address) as client:
            events = list(client.chat_stream([user("What is 2+2?")]))
        assert "".join(e.text for e in events if isinstance(e, TextDelta)) == "4"


def test_the_gateway_alone_is_up_and_not_ready(environments: Environments) -> None:
    upstreams = ("--tokenizer=127.0.0.1:1", "--engine=127.0.0.1:1")
    with started(environments, "gateway", "gateway", *upstreams) as gateway:
        assert not is_ready(gateway)


@pytest.mark.parametrize(
    ("module", "extra"), [("tokenizer_svc", "tokenizer"), ("engine_svc", "engine")]
)
def test_a_service_without_its_extra_names_the_command(
    module: str, extra: str, environments: Environments
) -> None:
    told = environments(None).run("-m", module, "--model=somewhere", status=USAGE_ERROR)
    assert told.startswith(f"error: the {extra} service needs ")
    assert told.endswith(
        f"not installed here: pip install 'steeple[{extra}]' (in a checkout: '.[{extra}]')\n"
    )
    assert told.count("\n") == 1


def test_what_needs_no_extra_works_without_one(environments: Environments) -> None:
    """The client, the gateway's options, and the planner, which runs the engine's own policies."""
    bare = environments(None)
    bare.run("-c", "import steeple_client, steeple.inference.v1.inference_service_pb2_grpc")
    assert "--tokenizer" in bare.run("-m", "gateway", "--help")
    assert "KV blocks, peak" in bare.run("-m", "steeple_cli", "plan", "--requests", "5")
    assert "serve" in bare.run("-m", "steeple_cli", "--help")


def test_a_picture_without_its_extra_names_the_command(environments: Environments) -> None:
    plan = ("-m", "steeple_cli", "plan", "--requests", "5", "--timeline", "plan.png")
    told = environments(None).run(*plan, status=USAGE_ERROR)
    assert told == (
        "error: --timeline needs matplotlib, not installed here: pip install 'steeple[charts]'"
        " (in a checkout: '.[charts]')\n"
    )


def test_serving_without_the_extra_names_the_command(environments: Environments) -> None:
    told = environments(None).run("-m", "steeple_cli", "serve", status=USAGE_ERROR)
    assert "pip install 'steeple[" in told
    assert "Traceback" not in told


def test_the_engine_s_extra_is_all_that_one_machine_needs(environments: Environments) -> None:
    """All packages from the wheel; all three services, the model and the answer."""
    engine = environments("engine")
    files = engine.run("-c", f"import {', '.join(PACKAGES)}; print(gateway.__file__)")
    assert str(engine.folder) in files
    assert "What is 2+2? 4\n" in engine.run("-m", "steeple_cli", "demo")


@pytest.mark.skipif(not INSTALLED, reason="only pip makes the command: make wheel-check")
def test_the_command_is_there_and_tells_its_version(environments: Environments) -> None:
    everything = environments("all")
    command = str(everything.folder / "bin" / "steeple")
    told = run(command, "--version", cwd=everything.folder)
    version = everything.run(
        "-c", "from importlib import metadata as m; print(m.version('steeple'))"
    )
    assert told == f"steeple {version}"
    assert "What is 2+2? 4\n" in run(command, "demo", cwd=everything.folder)
    run(command, "plan", "--requests", "20", "--timeline", "plan.png", cwd=everything.folder)
    assert (everything.folder / "plan.png").read_bytes().startswith(b"\x89PNG")
