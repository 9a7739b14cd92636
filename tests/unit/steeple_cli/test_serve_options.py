"""What `steeple serve` passes on to the engine is what the engine takes."""

import inspect
from fnmatch import fnmatch

import pytest
from typer.models import OptionInfo

from engine_svc.policy_options import READ_BY
from engine_svc.settings import EngineSettings
from steeple_cli.serve import _arguments, serve
from steeple_rpc.settings import load_settings


def test_policy_options_arrive_as_they_were_given() -> None:
    """Words, numbers and both sides of a switch."""
    arguments = _arguments(
        scheduler="spyre_chunked",
        max_num_batched_tokens=128,
        max_batch_tkv=4096,
        min_decode_rows=2,
        interleave=False,
        prefix_caching=True,
        over_limit="pause",
        pause_order="most-first",
        join=None,
    )
    settings = load_settings(EngineSettings, ["--model=/m", *arguments])
    assert settings.scheduler == "spyre_chunked"
    assert (settings.max_num_batched_tokens, settings.max_batch_tkv) == (128, 4096)
    assert (settings.interleave, settings.prefix_caching) == (False, True)
    assert (settings.over_limit, settings.pause_order) == ("pause", "most-first")
    assert settings.join is None


def test_nothing_given_is_nothing_passed_on() -> None:
    """The engine knows the defaults."""
    assert _arguments(scheduler=None, interleave=None) == []


@pytest.mark.parametrize("name", READ_BY)
def test_every_option_of_a_policy_can_be_given_to_serve(name: str) -> None:
    """By the engine's own name."""
    assert name in inspect.signature(serve).parameters
    assert name in EngineSettings.model_fields


def _help_of(name: str) -> OptionInfo:
    option: OptionInfo = inspect.signature(serve).parameters[name].annotation.__metadata__[0]
    return option


@pytest.mark.parametrize(
    "name", [name for name in READ_BY if _help_of(name).rich_help_panel == "Batching policy"]
)
def test_the_help_of_such_an_option_names_the_policies_that_read_it(name: str) -> None:
    """No more and no fewer: with another policy the engine refuses it."""
    named = (_help_of(name).help or "").partition(":")[0].split(", ")
    policies = {policy for readers in READ_BY.values() for policy in readers}
    told = {policy for policy in policies if any(fnmatch(policy, each) for each in named)}
    assert told == set(READ_BY[name])
