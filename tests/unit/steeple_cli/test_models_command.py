"""`steeple models` against a scripted gateway."""

import asyncio
import json
from collections.abc import AsyncIterator

import pytest
from typer.testing import CliRunner, Result

from steeple_cli.app import app
from tests.support.answers import model
from tests.support.scripted import ScriptedModels
from tests.support.servers import Serving, serving

WIDE, NARROW = "200", "60"


@pytest.fixture
def script() -> ScriptedModels:
    return ScriptedModels()


@pytest.fixture
async def served(script: ScriptedModels) -> AsyncIterator[Serving]:
    async with serving(script.add_to) as served:
        yield served


async def told(served: Serving, *arguments: str, columns: str = WIDE) -> Result:
    argv = ["models", *arguments, f"--target={served.address}"]
    return await asyncio.to_thread(CliRunner().invoke, app, argv, env={"COLUMNS": columns})


async def test_a_wide_terminal_gets_a_row_per_model(
    served: Serving, script: ScriptedModels
) -> None:
    script.models = [model("first"), model("second", num_engines=2)]
    lines = [" ".join(line.split()) for line in (await told(served)).stdout.splitlines()]
    assert lines[1].startswith("model architecture dtype route policy engines load")
    same = "GraniteForCausalLM float32 fms on cpu continuous"
    assert lines[3] == f"first {same} 1 2.5 s 10 B 20 B 160 100 1.5"
    assert lines[4] == f"second {same} 2 2.5 s 10 B 40 B 320 100 3"


async def test_a_narrow_terminal_gets_a_row_per_fact(
    served: Serving, script: ScriptedModels
) -> None:
    """Nothing is cut off, whatever the width."""
    script.models = [model("first"), model("second")]
    out = (await told(served, columns=NARROW)).stdout
    rows = [line.split() for line in out.splitlines()]
    assert ["model", "first", "second"] in rows
    assert ["KV", "tokens", "160", "160"] in rows
    assert ["load", "2.5", "s", "2.5", "s"] in rows
    assert max(map(len, out.splitlines())) <= int(NARROW)


async def test_json_is_one_line_per_model_with_every_engine(
    served: Serving, script: ScriptedModels
) -> None:
    script.models = [model("m", num_engines=2)]
    (line,) = (await told(served, "--json")).stdout.splitlines()
    found = json.loads(line)
    assert (found["name"], len(found["engines"])) == ("m", 2)
    assert found["engines"][0]["load_s"] == 2.5
    assert found["engines"][0]["runner"] == "fms"


async def test_where_nothing_is_served_that_is_told(served: Serving) -> None:
    result = await told(served)
    assert (result.exit_code, result.stdout.splitlines()) == (
        0,
        ["no model is served now: steeple doctor tells why"],
    )


async def test_a_gateway_that_is_away_is_one_clear_line(served: Serving) -> None:
    argv = ["models", "--target=127.0.0.1:1"]
    result = await asyncio.to_thread(CliRunner().invoke, app, argv)
    assert result.exit_code == 1
    assert result.stderr.startswith("error: UNAVAILABLE")
    assert len(result.stderr.splitlines()) == 1
