"""`docker compose up`, met as its users meet it: through the published port."""

import json
import os
import signal
from collections.abc import Callable

import pytest

from steeple_client import Client, Generation, GenerationStream
from tests.support.compose_file import OUR_MODULES
from tests.support.compose_project import ComposeProject
from tests.support.far_host import far_host
from tests.support.prometheus_server import values_at
from tests.support.waiting import eventually

OURS = sorted(OUR_MODULES)
PROMPT = "What is 2+2?"
LONG = 900
"""Tokens of a stream that still runs when something happens to its engine."""
EARLY = 20
"""Texts after which it does."""
PRIVATE = "steepletest_private"


def long_stream(client: Client) -> GenerationStream:
    """An answer that takes two seconds and is always the same."""
    return client.generate_stream(PROMPT, max_tokens=LONG, ignore_eos=True, temperature=0)


def disturbed(project: ComposeProject, disturb: Callable[[], None]) -> tuple[Generation, int]:
    """A long answer in the middle of which `disturb` was done, and how often it changed engines."""
    with Client(project.target) as client, long_stream(client) as stream:
        texts = stream.texts()
        for _ in range(EARLY):
            next(texts)
        disturb()
        answer = stream.result()
    return answer, finished_in_the_log(project, answer.started.request_id)["num_takeovers"]


def undisturbed(project: ComposeProject) -> Generation:
    """The same answer in peace."""
    with Client(project.target) as client, long_stream(client) as stream:
        return stream.result()


def finished_in_the_log(project: ComposeProject, request_id: str) -> dict[str, int]:
    """The gateway's line about a request."""
    lines = project.compose("logs", "--no-color", "gateway").splitlines()
    events = [json.loads(line[line.index("{") :]) for line in lines if "request_finished" in line]
    return next(event for event in events if event["public_request_id"] == request_id)


def address_of_the_engine(project: ComposeProject) -> str:
    return str(project.state("engine")["NetworkSettings"]["Networks"][PRIVATE]["IPAddress"])


def test_an_answer_streams_through_the_published_port(project: ComposeProject) -> None:
    with Client(project.target) as client:
        assert "".join(client.chat_stream(PROMPT).texts()) == "4"


def test_a_stream_goes_on_when_its_engine_is_killed(project: ComposeProject) -> None:
    """By its first process, as the kernel would; Docker starts it again by itself."""
    pid = project.state("engine")["State"]["Pid"]
    answer, takeovers = disturbed(project, lambda: os.kill(pid, signal.SIGKILL))
    assert takeovers == 1
    assert answer.text == undisturbed(project).text
    assert answer.usage.num_completion_tokens == LONG
    assert project.state("engine")["RestartCount"] > 0


def test_a_stream_goes_on_at_an_engine_with_another_address(project: ComposeProject) -> None:
    """As after an upgrade: a container that replaces another, whose address is taken by then."""
    old = address_of_the_engine(project)
    engine = project.state("engine")["Id"]
    named = ["--detach", "--interactive", "--name=steepletest_squatter", f"--network={PRIVATE}"]
    idle = ["--entrypoint=python", project.image("gateway"), "-c", "input()"]

    def replace() -> None:
        project.docker("rm", "--force", engine)
        project.docker("run", *named, *idle)
        project.compose("up", "--detach", "--no-deps", "engine")

    try:
        answer, takeovers = disturbed(project, replace)
        assert address_of_the_engine(project) != old
    finally:
        project.docker("rm", "--force", "steepletest_squatter")
    assert takeovers == 1
    assert answer.text == undisturbed(project).text


def test_a_gateway_that_is_stopped_lets_a_stream_end(project: ComposeProject) -> None:
    """SIGTERM reaches the service behind the container's first process; it drains and ends 0."""
    expected = undisturbed(project).text
    gateway = project.state("gateway")["Id"]
    with Client(project.target) as client, long_stream(client) as stream:
        next(stream.texts())
        project.compose("stop", "gateway")
        assert stream.result().text == expected
    state = json.loads(project.docker("inspect", gateway))[0]["State"]
    assert (state["ExitCode"], state["OOMKilled"]) == (0, False)


@pytest.mark.parametrize("service", OURS)
def test_a_container_runs_as_nobody_and_writes_nowhere(
    project: ComposeProject, service: str
) -> None:
    look = (
        "import os, pathlib\n"
        "status = pathlib.Path('/proc/self/status').read_text().split('\\n')\n"
        "told = dict(line.split(':\\t', 1) for line in status if ':\\t' in line)\n"
        "can = [p for p in ('/', '/opt/steeple', '/model') if os.access(p, os.W_OK)]\n"
        "print(os.getuid(), os.getgid(), int(told['CapBnd'], 16), told['NoNewPrivs'], can)\n"
    )
    told = project.inside(service, "python", "-c", look).split()
    assert told == ["10001", "10001", "0", "1", "[]"]
    assert project.state(service)["HostConfig"]["ReadonlyRootfs"] is True


def test_what_is_behind_the_gateway_has_no_way_out(project: ComposeProject) -> None:
    """A host beyond this machine is reached by the gateway's container, and by no other."""
    connect = "import socket, sys; socket.create_connection(sys.argv[1].split(':'), 3); print('in')"
    with far_host() as address:
        command = ["python", "-c", connect, address]
        assert project.inside("gateway", *command) == "in\n"
        for service in ("tokenizer", "engine"):
            with pytest.raises(AssertionError, match=r"TimeoutError|unreachable"):
                project.inside(service, *command)


@pytest.mark.parametrize("service", OURS)
def test_an_image_holds_what_its_service_needs_and_no_more(
    project: ComposeProject, service: str
) -> None:
    """No pip, no torch but in the engine's, and not a word of what pip was told."""
    find = "from importlib.util import find_spec as f; print(*(bool(f(n)) for n in {!r}))"
    names = ("torch", "pip", "pytest", "tokenizers")
    run = ["run", "--rm", "--entrypoint=/opt/steeple/bin/python", project.image(service), "-c"]
    held = dict(zip(names, project.docker(*run, find.format(names)).split(), strict=True))
    assert held["torch"] == str(service == "engine")
    assert held["tokenizers"] == str(service != "gateway")
    assert held["pip"] == held["pytest"] == "False"
    history = project.docker("history", "--no-trunc", project.image(service))
    assert "PIP_" not in history
    assert "wheelhouse" not in history


def test_the_images_are_small(project: ComposeProject) -> None:
    """Beside the base image: measured 90 MB, 135 MB and 1.2 GB, most of it torch."""
    sizes = {name: size_of(project, project.image(name)) for name in OURS}
    base = size_of(project, project.base_image)
    own = {name: size - base for name, size in sizes.items()}
    print({name: f"{size / 1e6:.0f} MB" for name, size in {**sizes, "base": base}.items()})
    assert own["gateway"] < 130e6
    assert own["tokenizer"] < 190e6
    assert own["engine"] < 1.6e9


def size_of(project: ComposeProject, image: str) -> int:
    """An image's bytes."""
    return int(project.docker("image", "inspect", "--format", "{{.Size}}", image))


def test_prometheus_sees_all_three_from_inside_their_network(project: ComposeProject) -> None:
    """The profile `observe`, with Debian's Prometheus; it is locked down as the others are."""
    project.build_prometheus()
    project.up("prometheus")
    try:
        eventually(lambda: project.is_healthy("prometheus"), lambda: project.compose("ps"))
        eventually(lambda: values_at(project.prometheus, "up") == [1.0, 1.0, 1.0])
        assert project.state("prometheus")["HostConfig"]["ReadonlyRootfs"] is True
    finally:
        project.compose("rm", "--force", "--stop", "prometheus")


def test_an_image_for_spyre_cards_keeps_the_torch_of_its_base(built: ComposeProject) -> None:
    """A base image with a torch of its own: nothing of ours takes its place."""
    folder = built.folder / "build" / "spyre-base"
    torch = folder / "torch"
    torch.mkdir(parents=True)
    (torch / "__init__.py").write_text("whose = 'the base image'\n")
    facts = folder / "torch-2.10.0.dist-info"
    facts.mkdir()
    (facts / "METADATA").write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.10.0\n")
    (folder / "Dockerfile").write_text(
        f"FROM {built.base_image}\nCOPY torch /usr/lib/python3/dist-packages/torch/\n"
        "COPY torch-2.10.0.dist-info /usr/lib/python3/dist-packages/torch-2.10.0.dist-info\n"
    )
    built.docker("build", "--tag=steeple-spyre-base:test", str(folder))
    given = {"BASE_IMAGE": "steeple-spyre-base:test", "SYSTEM_TORCH": "yes", "PIP_NO_INDEX": "1"}
    arguments = [f"--build-arg={name}={value}" for name, value in given.items()]
    image = "steeple-engine-spyre:test"
    built.docker("build", "--target=engine", f"--tag={image}", *arguments, ".")
    look = "import torch, msgspec, importlib.metadata as m; print(torch.whose, m.version('torch'))"
    run = ["run", "--rm", "--entrypoint=python", image, "-c"]
    assert built.docker(*run, look) == "the base image 2.10.0\n"
