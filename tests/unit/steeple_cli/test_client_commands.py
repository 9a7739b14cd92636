"""`steeple generate`, `chat` and `wait` against a scripted gateway."""

import asyncio
import json
import sys
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from steeple.common.v1 import chat_pb2 as common_chat_pb2
from steeple.common.v1 import sampling_pb2
from steeple_cli.app import app
from steeple_cli.asking.options import _OPTIONS
from steeple_client import GenerateOptions
from steeple_rpc.errors import NotFound, Overloaded
from steeple_rpc.lifecycle import Lifecycle
from tests.support.answers import chat_events, generate_events, played
from tests.support.scripted import ScriptedInference
from tests.support.servers import Serving, serving
from tests.support.step_engine import Observer
from tests.support.waiting import eventually


@dataclass
class Command:
    """Runs the command line in a thread while the gateway lives in the test's loop."""

    address: str

    async def __call__(self, *arguments: str, stdin: str = "", target: bool = True) -> Result:
        argv = [*arguments, *([f"--target={self.address}"] if target else [])]
        return await asyncio.to_thread(CliRunner().invoke, app, argv, input=stdin)


@pytest.fixture
def script() -> ScriptedInference:
    return ScriptedInference()


@pytest.fixture
async def served(script: ScriptedInference) -> AsyncIterator[Serving]:
    async with serving(script.add_to) as served:
        yield served


@pytest.fixture
def steeple(served: Serving) -> Command:
    return Command(served.address)


def lines(result: Result) -> list[Any]:
    return [json.loads(line) for line in result.stdout.splitlines()]


async def test_generate_prints_only_the_text(steeple: Command, script: ScriptedInference) -> None:
    script.generate_stream = played(generate_events("2+", "2=4"))
    result = await steeple("generate", "what")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "2+2=4\n", "")
    assert script.requests[0].text == "what"


async def test_chat_prints_only_the_text(steeple: Command, script: ScriptedInference) -> None:
    script.chat_stream = played(chat_events("4"))
    result = await steeple("chat", "What is 2+2?", "--system=be brief")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "4\n", "")
    assert [(m.role, m.parts[0].text) for m in script.requests[0].messages] == [
        (common_chat_pb2.ROLE_SYSTEM, "be brief"),
        (common_chat_pb2.ROLE_USER, "What is 2+2?"),
    ]


@pytest.mark.parametrize("command", ["generate", "chat"])
async def test_json_tells_every_event_on_a_line(
    steeple: Command, script: ScriptedInference, command: str
) -> None:
    script.generate_stream = played(generate_events("4"))
    script.chat_stream = played(chat_events("4"))
    result = await steeple(command, "x", "--json")
    assert result.exit_code == 0
    started, delta, finished, usage = lines(result)
    assert (started["event"], started["model"], started["sampling"]["seed"]) == ("started", "m", 7)
    assert (delta["event"], delta["text"]) == ("delta", "4")
    assert (finished["event"], finished["reason"], finished["stop"]) == ("finished", "eos", 0)
    assert (usage["event"], usage["num_completion_tokens"]) == ("usage", 1)


@pytest.mark.parametrize("command", ["generate", "chat"])
async def test_options_reach_the_request(
    steeple: Command, script: ScriptedInference, command: str
) -> None:
    script.generate_stream = played(generate_events("4"))
    script.chat_stream = played(chat_events("4"))
    await steeple(
        command,
        *("x", "--model=m", "--max-tokens=5", "--temperature=0", "--top-k=3"),
        *("--top-p=0.5", "--seed=0", "--stop=a", "--stop=b", "--priority=-5"),
    )
    (request,) = script.requests
    assert (request.model, request.stopping.max_tokens) == ("m", 5)
    assert request.priority == -5
    assert (request.sampling.top_k, request.sampling.top_p) == (3, 0.5)
    assert request.sampling.HasField("seed")
    assert request.sampling.HasField("temperature")
    assert list(request.stopping.stop) == ["a", "b"]


@pytest.mark.parametrize("command", ["generate", "chat"])
async def test_every_parameter_has_its_option(
    steeple: Command, script: ScriptedInference, command: str
) -> None:
    script.generate_stream = played(generate_events("4"))
    script.chat_stream = played(chat_events("4"))
    result = await steeple(
        command,
        *("x", "--min-p=0.5", "--typical-p=0.25", "--repetition-penalty=1.5"),
        *("--presence-penalty=-0.5", "--frequency-penalty=0.5", "--length-penalty=3:1.5"),
        *("--logit-bias=5:-1.5", "--logit-bias=7:2", "--bad-word=fox", "--bad-word=dog"),
        *("--min-tokens=2", "--stop-token-id=9", "--ignore-eos", "--keep-stop"),
        *("--time-limit-ms=50", "--special-tokens", "--token-details", "--logprobs=0"),
        *("--logprob-token-id=3", "--cache-salt=s", "--timeout=60"),
    )
    assert result.exit_code == 0, result.stderr
    (request,) = script.requests
    assert request.sampling == sampling_pb2.SamplingParams(
        min_p=0.5,
        typical_p=0.25,
        repetition_penalty=1.5,
        presence_penalty=-0.5,
        frequency_penalty=0.5,
        length_penalty=sampling_pb2.LengthPenalty(start_index=3, decay_factor=1.5),
        logit_bias={5: -1.5, 7: 2.0},
        bad_words=["fox", "dog"],
    )
    assert request.stopping == sampling_pb2.StoppingParams(
        min_tokens=2,
        stop_token_ids=[9],
        ignore_eos=True,
        include_stop_in_output=True,
        time_limit_ms=50,
    )
    assert request.output == sampling_pb2.OutputParams(
        skip_special_tokens=False, token_details=True, logprobs=0, logprob_token_ids=[3]
    )
    assert request.cache_salt == "s"


@pytest.mark.parametrize(
    "option", ["--length-penalty=3", "--length-penalty=a:1", "--logit-bias=5", "--logit-bias=5:x"]
)
async def test_a_pair_that_is_none_is_wrong_usage(
    steeple: Command, script: ScriptedInference, option: str
) -> None:
    result = await steeple("generate", "x", option)
    assert result.exit_code == 2
    assert option.partition("=")[0] in result.stderr
    assert script.requests == []


def test_the_command_line_and_the_client_have_the_same_options() -> None:
    """But the id of a request and the cut of a prompt, which are for programs."""
    for_programs = {"request_id", "truncate_prompt_tokens"}
    assert set(_OPTIONS) == set(GenerateOptions.__annotations__) - for_programs


async def test_options_that_are_not_given_are_the_servers(
    steeple: Command, script: ScriptedInference
) -> None:
    script.generate_stream = played(generate_events("4"))
    await steeple("generate", "x")
    (request,) = script.requests
    assert [field.name for field, _ in request.ListFields()] == [
        "text",
        "sampling",
        "stopping",
        "output",
    ]
    for part in ("sampling", "stopping", "output"):
        assert getattr(request, part).ListFields() == []


@pytest.mark.parametrize("command", ["generate", "chat"])
async def test_a_refusal_is_typed_on_stderr(
    steeple: Command, script: ScriptedInference, command: str
) -> None:
    refused = played([], NotFound("no such model is served", reason="MODEL_NOT_FOUND"))
    script.generate_stream = script.chat_stream = refused
    result = await steeple(command, "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr == (
        "error: NOT_FOUND MODEL_NOT_FOUND: no such model is served"
        " → steeple models lists what is served\n"
    )


async def test_text_before_an_error_stays(steeple: Command, script: ScriptedInference) -> None:
    """What arrived is printed; the error comes on a line of its own."""
    broken = Overloaded("the client reads too slowly", reason="CLIENT_TOO_SLOW")
    script.generate_stream = played(generate_events("2+", "2")[:3], broken)
    result = await steeple("generate", "x")
    assert (result.exit_code, result.stdout) == (1, "2+2\n")
    assert result.stderr.startswith("error: RESOURCE_EXHAUSTED CLIENT_TOO_SLOW: ")


@pytest.mark.parametrize("option", ["--max-tokens=99999999999", f"--seed={1 << 64}"])
async def test_a_number_that_is_too_large_is_a_typed_error(steeple: Command, option: str) -> None:
    result = await steeple("generate", "x", option)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: INVALID_ARGUMENT OUT_OF_RANGE: ")


async def test_nobody_there_is_a_typed_error() -> None:
    result = await Command("127.0.0.1:1")("generate", "x")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: UNAVAILABLE: ")


async def test_the_target_may_come_from_the_environment(
    steeple: Command, script: ScriptedInference, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STEEPLE_TARGET", steeple.address)
    script.generate_stream = played(generate_events("4"))
    assert (await steeple("generate", "x", target=False)).stdout == "4\n"


def echo(request: Any) -> AsyncGenerator[Any, None]:
    """Answers the last turn with its own text."""
    stream: AsyncGenerator[Any, None] = played(
        chat_events(f"re: {request.messages[-1].parts[0].text}")
    )(request)
    return stream


async def test_a_piped_conversation_keeps_what_was_said(
    steeple: Command, script: ScriptedInference
) -> None:
    """One turn per line; blank lines are none; each request has all turns so far."""
    script.chat_stream = echo
    result = await steeple("chat", "--system=s", stdin="one\n\n  \ntwo\n")
    assert (result.exit_code, result.stdout, result.stderr) == (0, "re: one\nre: two\n", "")
    turns = [[m.parts[0].text for m in request.messages] for request in script.requests]
    assert turns == [["s", "one"], ["s", "one", "re: one", "two"]]


async def test_a_conversation_can_be_told_as_json(
    steeple: Command, script: ScriptedInference
) -> None:
    """And is still kept."""
    script.chat_stream = echo
    result = await steeple("chat", "--json", stdin="one\ntwo\n")
    assert [line["event"] for line in lines(result)] == [
        "started",
        "delta",
        "finished",
        "usage",
    ] * 2
    last = script.requests[-1].messages
    assert [m.parts[0].text for m in last] == ["one", "re: one", "two"]


async def test_a_conversation_ends_with_the_first_error(
    steeple: Command, script: ScriptedInference
) -> None:
    script.chat_stream = played([], Overloaded("full", reason="QUEUE_FULL"))
    result = await steeple("chat", stdin="one\ntwo\n")
    assert result.exit_code == 1
    assert result.stderr == "error: RESOURCE_EXHAUSTED QUEUE_FULL: full\n"
    assert len(script.requests) == 1


async def test_wait_ends_0_once_ready() -> None:
    calls = Observer()
    async with serving(observers=[calls]) as served:
        lifecycle = Lifecycle(served.health)
        lifecycle.start()
        waiting = asyncio.ensure_future(Command(served.address)("wait", "--timeout=60"))
        await asyncio.to_thread(eventually, lambda: len(calls.begun) > 0)
        # It has asked: time to end, for one that takes any answer for the right one.
        await asyncio.wait({waiting}, timeout=0.05)
        assert not waiting.done()
        await lifecycle.set_ready(ready=True)
        result = await waiting
    assert (result.exit_code, result.stdout, result.stderr) == (0, "", "")


async def test_wait_ends_1_when_it_takes_too_long(steeple: Command, served: Serving) -> None:
    Lifecycle(served.health).start()
    result = await steeple("wait", "--timeout=0.1")
    assert (result.exit_code, result.stdout) == (1, "")
    assert result.stderr.startswith("error: DEADLINE_EXCEEDED NOT_READY: ")


async def test_the_installed_command_behaves_like_any_other(
    served: Serving, script: ScriptedInference
) -> None:
    """A process of its own: text on stdout, errors on stderr, the status tells."""
    script.generate_stream = played(generate_events("2+2=", "4"))
    command = (sys.executable, "-m", "steeple_cli")
    process = await asyncio.create_subprocess_exec(
        *(*command, "generate", "x", f"--target={served.address}"),
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    stdout, stderr = await process.communicate()
    assert (process.returncode, stdout, stderr) == (0, b"2+2=4\n", b"")
