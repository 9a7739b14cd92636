"""What policies can be told on the command line: nothing is ignored, nothing is guessed."""

from dataclasses import fields
from typing import get_args, get_type_hints

import pytest

from engine_svc.core.batching import BatchingOptions, Join, OverLimit, PauseOrder, WarmupShape
from engine_svc.core.scheduler.registry import SCHEDULERS
from engine_svc.policy_options import READ_BY, check_read, parse_shapes
from engine_svc.settings import EngineSettings
from steeple_rpc.settings import USAGE_ERROR, load_settings

GIVEN = {
    "max_model_len": "--max-model-len=128",
    "max_num_seqs": "--max-num-seqs=7",
    "max_num_batched_tokens": "--max-num-batched-tokens=128",
    "warmup_shapes": "--warmup-shapes=64:20:4",
    "join": "--join=wait",
    "max_batch_tkv": "--max-batch-tkv=4096",
    "min_decode_rows": "--min-decode-rows=2",
    "interleave": "--no-interleave",
    "over_limit": "--over-limit=look-ahead",
    "pause_order": "--pause-order=most-first",
    "prefix_caching": "--no-prefix-caching",
}

BOUNDS = {"max_model_len", "max_num_seqs", "max_num_batched_tokens"}
"""These are every policy's; `static` gets the first two from its shapes."""


def settings(*argv: str) -> EngineSettings:
    """The settings of a command line that has a model."""
    return load_settings(EngineSettings, ["--model=/m", *argv])


def refusal(capsys: pytest.CaptureFixture[str], *argv: str) -> str:
    """The one line that a command line is refused with."""
    with pytest.raises(SystemExit) as caught:
        settings(*argv)
    assert caught.value.code == USAGE_ERROR
    told = capsys.readouterr().err
    assert told.count("\n") == 1
    return told


def test_a_policy_that_the_table_does_not_know_may_read_anything() -> None:
    """A new policy is its file and its line in the registry."""
    for given in GIVEN.values():
        assert settings("--scheduler=brand_new", given).core_config(1).scheduler == "brand_new"


def test_every_registered_policy_has_a_place_in_the_table() -> None:
    """Else its users could be ignored."""
    assert {policy for readers in READ_BY.values() for policy in readers} == set(SCHEDULERS)


def test_every_option_of_the_policies_can_be_given() -> None:
    """Nothing that a policy reads is out of the user's reach."""
    options = {f.name for f in fields(BatchingOptions)} - {"shapes"} | {"warmup_shapes"}
    assert options | BOUNDS == set(READ_BY) == set(GIVEN)


@pytest.mark.parametrize(
    ("name", "kind"), [("join", Join), ("over_limit", OverLimit), ("pause_order", PauseOrder)]
)
def test_words_are_those_of_the_core(
    name: str, kind: type[Join] | type[OverLimit] | type[PauseOrder]
) -> None:
    """The command line lists the values that the policies know."""
    (words, _) = get_args(get_type_hints(EngineSettings)[name])
    assert set(get_args(words)) == {member.value for member in kind}


@pytest.mark.parametrize("policy", SCHEDULERS)
@pytest.mark.parametrize("option", READ_BY)
def test_an_option_is_read_or_refused(
    capsys: pytest.CaptureFixture[str], policy: str, option: str
) -> None:
    """Never ignored; the refusal names the option and who would read it."""
    argv = (f"--scheduler={policy}", GIVEN[option])
    if policy not in READ_BY[option]:
        told = refusal(capsys, *argv)
        assert told.startswith(f"error: --{option.replace('_', '-')}: ")
        assert all(reader in told for reader in (policy, *READ_BY[option]))
    elif option in BOUNDS:
        assert getattr(settings(*argv).core_config(1), option) == int(argv[1].rpartition("=")[2])
    else:
        assert settings(*argv).core_config(1).batching != BatchingOptions()


def test_an_option_counts_wherever_it_is_given(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A variable that is ignored is as much a trap as an argument."""
    monkeypatch.setenv("STEEPLE_ENGINE_INTERLEAVE", "false")
    assert settings("--scheduler=spyre_chunked").batching.interleave is False
    assert "STEEPLE_ENGINE_INTERLEAVE: " in refusal(capsys, "--scheduler=static")


def test_what_is_given_reaches_the_core_and_the_rest_is_the_policys_default() -> None:
    """The core's own defaults are the only ones."""
    config = settings(
        *("--scheduler=spyre_chunked", "--max-num-batched-tokens=128", "--no-interleave"),
        *("--pause-order=most-first", "--max-batch-tkv=131072", "--min-decode-rows=2"),
    ).core_config(1)
    assert (config.scheduler, config.max_num_batched_tokens) == ("spyre_chunked", 128)
    assert config.batching == BatchingOptions(
        max_batch_tkv=131072,
        min_decode_rows=2,
        interleave=False,
        pause_order=PauseOrder.MOST_FIRST,
    )
    assert settings().core_config(1).batching == BatchingOptions()
    assert settings().core_config(1).max_num_batched_tokens == 512


def test_an_order_of_pauses_needs_pauses(capsys: pytest.CaptureFixture[str]) -> None:
    """Looking ahead, nobody pauses: the order would be ignored."""
    argv = ("--scheduler=spyre_chunked", "--over-limit=look-ahead", "--pause-order=most-first")
    told = refusal(capsys, *argv)
    assert told == "error: pause_order is not read where over_limit is look-ahead\n"


def test_only_continuous_needs_a_token_per_seat(capsys: pytest.CaptureFixture[str]) -> None:
    """Elsewhere the number is a chunk's length, or nothing."""
    many = "--max-num-seqs=1024"
    assert "max_num_batched_tokens 512 is below max_num_seqs 1024" in refusal(capsys, many)
    assert settings("--scheduler=spyre_chunked", many).max_num_seqs == 1024


def test_shapes_are_read_in_their_order() -> None:
    """prompt:new:batch; what is told is what is read."""
    text = "128:20:2,64:20:4"
    shapes = parse_shapes(text)
    assert shapes == (
        WarmupShape(prompt_len=128, new_tokens=20, batch_size=2),
        WarmupShape(prompt_len=64, new_tokens=20, batch_size=4),
    )
    assert ",".join(map(str, shapes)) == text
    assert parse_shapes(" 128:20:2 , 64:20:4 ") == shapes


@pytest.mark.parametrize(
    "text",
    [
        *("", "64", "64:20", "64:20:4:1", "64:20:", "a:20:4", "64:-1:4", "64:2.5:4", "64:20:4,"),
        *("0:20:4", "64:20:0", "64:20:1048577", "٦٤:20:4", "64:20:4,64:20:4,", "1" * 5000),
    ],
)
def test_a_malformed_shape_is_named(text: str) -> None:
    """With the form that it should have."""
    with pytest.raises(ValueError, match=r"is not prompt:new:batch, three numbers from 1"):
        parse_shapes(text)


@pytest.mark.parametrize(
    ("text", "told"),
    [("64:20:4,128:8:1,64:20:4", "64:20:4 is there twice"), ("64:1:4", "at least 2 new tokens")],
)
def test_a_shape_that_makes_no_sense_is_named(text: str, told: str) -> None:
    """Twice the same, or an answer of one token, which no decoder has."""
    with pytest.raises(ValueError, match=told):
        parse_shapes(text)


def test_a_refusal_names_every_reader() -> None:
    """All policies for which the option would make sense."""
    with pytest.raises(ValueError, match="these do: spyre_continuous, spyre_chunked"):
        check_read("max_batch_tkv", "static")
