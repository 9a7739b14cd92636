"""Workloads: drawn from a seed, or read from a file; what is wrong is told by name."""

import json
import random
from pathlib import Path
from statistics import median

import pytest

from engine_svc.core.params import RequestId
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.lengths import (
    MAX_LENGTH,
    Fixed,
    Lengths,
    LogNormal,
    Uniform,
    parse_lengths,
)
from steeple_cli.planning.made_up import STOP, MadeUpTokens
from steeple_cli.planning.request_file import read_workload
from steeple_cli.planning.workload import Distribution, PlannedRequest, PromptPrefix, draw_workload

PROMPTS, OUTPUTS = Uniform(1, 100), Uniform(1, 20)


def rng() -> random.Random:
    return random.Random(1)  # noqa: S311 - lengths, not secrets


def distribution(
    *,
    num_requests: int = 50,
    rate: float | None = 10.0,
    prompt_lens: Lengths = PROMPTS,
    output_lens: Lengths = OUTPUTS,
    max_tokens: int | None = None,
    seed: int = 0,
) -> Distribution:
    return Distribution(
        num_requests=num_requests,
        rate=rate,
        prompt_lens=prompt_lens,
        output_lens=output_lens,
        max_tokens=max_tokens,
        seed=seed,
    )


@pytest.mark.parametrize(
    ("text", "lengths"),
    [
        ("256", Fixed(256)),
        ("uniform:3:7", Uniform(3, 7)),
        ("lognormal:200:0.5", LogNormal(200, 0.5)),
    ],
)
def test_a_distribution_is_named_in_a_few_letters(text: str, lengths: Lengths) -> None:
    assert parse_lengths("--prompt-lens", text) == lengths


@pytest.mark.parametrize(
    "text",
    [
        "",
        "many",
        "0",
        "-3",
        str(MAX_LENGTH + 1),
        "uniform:9:3",
        "uniform:3",
        "uniform:1.5:3",
        "lognormal:9:-1",
        "lognormal:9:nan",
        "lognormal:9:inf",
        "zipf:3:4",
    ],
)
def test_a_distribution_that_is_none_is_refused_by_option_and_value(text: str) -> None:
    with pytest.raises(PlanRefused, match="--prompt-lens") as refused:
        parse_lengths("--prompt-lens", text)
    assert repr(text) in str(refused.value)


def test_uniform_lengths_reach_both_ends_and_nothing_else() -> None:
    source = rng()
    assert {Uniform(3, 7).draw(source) for _ in range(200)} == {3, 4, 5, 6, 7}


def test_half_of_the_lognormal_lengths_are_below_the_median() -> None:
    source = rng()
    drawn = [LogNormal(200, 0.5).draw(source) for _ in range(2000)]
    assert 190 < median(drawn) < 210
    assert min(drawn) < 100
    assert max(drawn) > 400


def test_lengths_beyond_the_bounds_are_cut() -> None:
    """No sigma overflows, no prompt is empty."""
    source = rng()
    drawn = {LogNormal(200, 1e6).draw(source) for _ in range(50)}
    assert drawn == {1, MAX_LENGTH}


def test_the_same_seed_draws_the_same_requests_and_another_draws_others() -> None:
    wanted = distribution()
    assert draw_workload(wanted) == draw_workload(wanted)
    assert draw_workload(wanted) != draw_workload(distribution(seed=1))


def test_other_prompts_change_neither_arrivals_nor_outputs() -> None:
    """Two plans that differ in one thing can be compared."""
    one = draw_workload(distribution())
    other = draw_workload(distribution(prompt_lens=LogNormal(500, 1.0)))
    assert [r.arrival_s for r in one] == [r.arrival_s for r in other]
    assert [r.output_len for r in one] == [r.output_len for r in other]
    assert [r.prompt_len for r in one] != [r.prompt_len for r in other]


def test_arrivals_come_at_the_rate_in_order() -> None:
    arrivals = [r.arrival_s for r in draw_workload(distribution(num_requests=2000))]
    assert arrivals == sorted(arrivals)
    assert 180 < arrivals[-1] < 220


def test_without_a_rate_all_are_there_at_the_start() -> None:
    assert {r.arrival_s for r in draw_workload(distribution(rate=None))} == {0.0}


def test_an_output_never_exceeds_max_tokens() -> None:
    free = draw_workload(distribution())
    capped = draw_workload(distribution(max_tokens=10))
    assert {r.max_tokens for r in capped} == {10}
    assert [r.output_len for r in capped] == [min(r.output_len, 10) for r in free]
    assert all(r.max_tokens == r.output_len for r in free)


def written(path: Path, *lines: object) -> Path:
    path.write_text("\n".join(x if isinstance(x, str) else json.dumps(x) for x in lines))
    return path


def test_a_file_holds_a_request_per_line(tmp_path: Path) -> None:
    """Empty lines are skipped; ids count the lines; requests come in the order of arrival."""
    path = written(
        tmp_path / "requests.jsonl",
        {"prompt_len": 100, "max_tokens": 20, "arrival_s": 2.5},
        "",
        {
            "prompt_len": 90,
            "max_tokens": 30,
            "output_len": 7,
            "arrival_s": 1,
            "priority": -1,
            "prompt_prefix": ["system", 64],
        },
    )
    second, first = read_workload(path)
    assert (first.request_id, first.prompt_len, first.output_len) == ("0", 100, 20)
    assert (second.request_id, second.arrival_s, second.output_len) == ("1", 1.0, 7)
    assert (second.priority, second.prefix) == (-1, PromptPrefix("system", 64))


@pytest.mark.parametrize(
    ("line", "told"),
    [
        ({"prompt_len": 0, "max_tokens": 1}, ["prompt_len", "1", "it is 0"]),
        ({"prompt_len": 5}, ["max_tokens", "required"]),
        ({"prompt_len": 5, "max_tokens": "3"}, ["max_tokens", "integer", "it is '3'"]),
        ({"prompt_len": 5, "max_tokens": 3, "output_len": 4}, ["output_len", "max_tokens 3", "4"]),
        ({"prompt_len": 5, "max_tokens": 3, "arrival_s": -1}, ["arrival_s", "0", "it is -1"]),
        ({"prompt_len": 5, "max_tokens": 3, "promptlen": 4}, ["promptlen"]),
        (
            {"prompt_len": 5, "max_tokens": 3, "prompt_prefix": ["a", 6]},
            ["prompt_prefix", "prompt_len 5", "6"],
        ),
        ("{", ["JSON"]),
    ],
    ids=str,
)
def test_a_line_that_is_no_request_is_told_with_its_number(
    tmp_path: Path, line: object, told: list[str]
) -> None:
    path = written(tmp_path / "r.jsonl", {"prompt_len": 1, "max_tokens": 1}, line)
    with pytest.raises(PlanRefused, match=r"r\.jsonl line 2: ") as refused:
        read_workload(path)
    assert "\n" not in str(refused.value)
    assert all(word in str(refused.value) for word in told)


@pytest.mark.parametrize("content", [None, b"", b"\n\n", b"\xff\xfe"], ids=repr)
def test_a_file_without_requests_is_refused(tmp_path: Path, content: bytes | None) -> None:
    path = tmp_path / "r.jsonl"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PlanRefused, match="--requests-file"):
        read_workload(path)


def planned(
    name: str, *, prompt_len: int = 6, output_len: int = 4, prefix: PromptPrefix | None = None
) -> PlannedRequest:
    return PlannedRequest(
        request_id=RequestId(name),
        arrival_s=0.0,
        prompt_len=prompt_len,
        max_tokens=4,
        output_len=output_len,
        prefix=prefix,
    )


def test_only_a_shared_prefix_makes_prompts_alike() -> None:
    """Made-up tokens must not hit the prefix cache by accident."""
    requests = [
        planned("0", prefix=PromptPrefix("a", 4)),
        planned("1", prefix=PromptPrefix("a", 3)),
        planned("2", prefix=PromptPrefix("b", 4)),
        planned("3"),
    ]
    tokens = MadeUpTokens(requests)
    prompts = [tokens.spec(request).prompt_token_ids for request in requests]
    assert [len(prompt) for prompt in prompts] == [6, 6, 6, 6]
    assert prompts[0][:3] == prompts[1][:3]
    assert prompts[0][3] != prompts[1][3]
    assert len({prompt[0] for prompt in prompts}) == 3
    assert len({prompt[-1] for prompt in prompts}) == 4


def test_an_output_ends_early_by_a_stop_token_and_only_then() -> None:
    """One that takes all of max_tokens ends by length."""
    requests = [planned("0", output_len=2), planned("1", output_len=4)]
    tokens = MadeUpTokens(requests)
    outputs = [
        [tokens.output_token(r.request_id, i) for i in range(r.output_len)] for r in requests
    ]
    assert [output.count(STOP) for output in outputs] == [1, 0]
    assert outputs[0][-1] == STOP
    assert all(STOP in tokens.spec(r).stopping.stop_token_ids for r in requests)
