"""docs/parameters.md tells every parameter with its bounds, and its examples run as they stand."""

import re
from pathlib import Path
from typing import Any

import pytest

from steeple.common.v1 import sampling_pb2
from steeple_client import Client
from steeple_rpc import parameters, unbuilt
from steeple_rpc.limits import UINT32_MAX
from tests.support.deployment import Deployment

PAGE = Path(__file__).resolve().parents[2] / "docs" / "parameters.md"
BOUNDS = {**parameters.SAMPLING, **parameters.STOPPING, **parameters.OUTPUT, **parameters.REQUEST}
COUNTS = {
    "stop": (parameters.MAX_STOPS, parameters.MAX_STOP_BYTES),
    "stop_token_ids": (parameters.MAX_STOP_TOKEN_IDS,),
    "logit_bias": (str(parameters.LOGIT_BIAS), parameters.MAX_LOGIT_BIASES),
    "bad_words": (parameters.MAX_BAD_WORDS, parameters.MAX_BAD_WORD_BYTES),
    "logprob_token_ids": (parameters.MAX_LOGPROB_TOKEN_IDS,),
    "cache_salt": (parameters.MAX_SALT_BYTES,),
    "length_penalty": (str(parameters.START_INDEX), str(parameters.DECAY_FACTOR)),
}


def ranges() -> dict[str, str]:
    """The range that the page gives for each field."""
    rows = re.findall(r"^\| `(\w+)` \| ([^|]*) \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    return {name: told.strip() for name, told in rows}


def test_every_parameter_has_its_row() -> None:
    """But those that are not built yet."""
    messages = (sampling_pb2.SamplingParams, sampling_pb2.StoppingParams, sampling_pb2.OutputParams)
    fields = {field.name for message in messages for field in message.DESCRIPTOR.fields}
    request = {"priority", "cache_salt", "truncate_prompt_tokens"}
    assert set(ranges()) == (fields - set(unbuilt.OUTPUT)) | request


@pytest.mark.parametrize("name", sorted(BOUNDS))
def test_the_page_tells_the_bounds_that_are_kept(name: str) -> None:
    """Where the model's context is the narrower bound, the page names that."""
    told, kept = ranges()[name], BOUNDS[name]
    if kept.high == UINT32_MAX and name != "time_limit_ms":
        assert told.startswith(f"{kept.low:g} to ")
    else:
        assert told == str(kept)


@pytest.mark.parametrize("name", sorted(COUNTS))
def test_the_page_tells_how_many_and_how_long(name: str) -> None:
    assert all(str(limit) in ranges()[name] for limit in COUNTS[name])


def test_its_examples_run(real: Deployment) -> None:
    """In order, one program, against the demo model."""
    blocks = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    program = "".join(blocks).replace("127.0.0.1:50051", real.target)
    assert program.count("assert") >= 5
    names: dict[str, Any] = {}
    exec(compile(program, str(PAGE), "exec"), names)  # noqa: S102 - the page of this repository
    assert isinstance(names["client"], Client)
    names["client"].close()
