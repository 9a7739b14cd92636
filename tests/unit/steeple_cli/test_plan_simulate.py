"""The simulation: real policies, a clock that only steps and arrivals move."""

import pytest

from engine_svc.core.batching import BatchingOptions
from engine_svc.core.params import FinishReason, RequestId
from engine_svc.core.scheduler.base import Bounds
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.policy import make_policy, policy_names
from steeple_cli.planning.record import Cause, Interval, Pause, Simulation
from steeple_cli.planning.simulate import simulate
from steeple_cli.planning.step_time import StepTime
from steeple_cli.planning.trace import Trace
from steeple_cli.planning.workload import PlannedRequest, PromptPrefix

ONE_SECOND_STEPS = StepTime(
    base_ms=1000, prefill_us_per_token=0, decode_us_per_row=0, kv_ns_per_token=0
)


def asks(
    idx: int,
    prompt_len: int,
    max_tokens: int,
    *,
    arrival_s: float = 0.0,
    output_len: int | None = None,
    priority: int = 0,
    prefix: PromptPrefix | None = None,
) -> PlannedRequest:
    return PlannedRequest(
        request_id=RequestId(str(idx)),
        arrival_s=arrival_s,
        prompt_len=prompt_len,
        max_tokens=max_tokens,
        output_len=output_len or max_tokens,
        priority=priority,
        prefix=prefix,
    )


def simulated(
    policy: str,
    *requests: PlannedRequest,
    max_model_len: int = 256,
    max_num_seqs: int = 2,
    num_blocks: int | None = None,
    chunk: int = 128,
    options: BatchingOptions | None = None,
    trace: Trace | None = None,
) -> Simulation:
    bounds = Bounds(
        model_max_len=4096,
        max_model_len=max_model_len,
        max_num_seqs=max_num_seqs,
        max_num_batched_tokens=chunk,
        block_size=None,
        options=options or BatchingOptions(),
    )
    made = make_policy(policy, bounds, num_blocks=num_blocks)
    return simulate(made.scheduler, requests, ONE_SECOND_STEPS, trace or Trace(0))


def test_times_follow_from_the_steps() -> None:
    """A prompt of two chunks, then three decodes; the second request comes in between."""
    result = simulated("continuous", asks(0, 200, 4), asks(1, 10, 2, arrival_s=1.5))
    first, second = sorted(result.requests, key=lambda request: request.request_id)
    assert (first.start_s, first.token_times_s) == (0.0, (2.0, 3.0, 4.0, 5.0))
    assert (second.start_s, second.token_times_s) == (2.0, (3.0, 4.0))
    assert second.arrival_s == 1.5
    assert [step.interval.length_s for step in result.steps] == [1.0] * 5


def test_the_clock_jumps_to_the_next_arrival_when_nothing_runs() -> None:
    result = simulated("continuous", asks(0, 10, 1), asks(1, 10, 1, arrival_s=7.25))
    assert [step.interval for step in result.steps] == [Interval(0.0, 1.0), Interval(7.25, 8.25)]


def test_an_output_ends_where_its_stop_token_comes() -> None:
    """Not at max_tokens, and the seat is free at once."""
    result = simulated("continuous", asks(0, 10, 50, output_len=3), asks(1, 10, 2))
    ends = {r.request_id: (len(r.token_times_s), r.finish_reason) for r in result.requests}
    assert ends == {"0": (3, FinishReason.STOP_TOKEN), "1": (2, FinishReason.MAX_TOKENS)}


@pytest.mark.parametrize("policy", policy_names(["continuous,spyre_continuous,spyre_chunked"]))
def test_what_never_fits_is_refused_and_the_others_run(policy: str) -> None:
    result = simulated(policy, asks(0, 300, 5), asks(1, 20, 5))
    assert [refusal.request_id for refusal in result.refusals] == ["0"]
    assert "256" in result.refusals[0].reason
    assert "300" in result.refusals[0].reason
    assert [request.request_id for request in result.requests] == ["1"]


def test_a_workload_that_is_refused_whole_has_no_steps() -> None:
    result = simulated("continuous", asks(0, 300, 5), asks(1, 300, 5, arrival_s=3.0))
    assert (result.steps, result.requests, len(result.refusals)) == ((), (), 2)


def test_priorities_reach_the_policy() -> None:
    """With one seat, the lower number goes first."""
    requests = [asks(0, 10, 2), asks(1, 10, 2, priority=5), asks(2, 10, 2, priority=-5)]
    result = simulated("continuous", *requests, max_num_seqs=1)
    assert [request.request_id for request in result.requests] == ["2", "0", "1"]


def test_a_shared_prefix_hits_the_cache_of_spyre_chunked() -> None:
    """Two chunks of the second prompt are the first one's; without a prefix nothing is."""
    prefix = PromptPrefix("system", 256)
    alike = [asks(i, 300, 2, arrival_s=9.0 * i, prefix=prefix) for i in range(2)]
    unlike = [asks(i, 300, 2, arrival_s=9.0 * i) for i in range(2)]
    cached = [
        [r.num_cached_tokens for r in simulated("spyre_chunked", *w, max_model_len=512).requests]
        for w in (alike, unlike)
    ]
    assert cached == [[0, 192], [0, 0]]


def test_who_stands_still_for_another_prompt_is_told_so() -> None:
    """A decodes at 2 s; the prompt of B takes the next step alone."""
    result = simulated("spyre_continuous", asks(0, 49, 5), asks(1, 41, 2, arrival_s=1.5))
    first = next(request for request in result.requests if request.request_id == "0")
    assert first.pauses == (Pause(Interval(2.0, 3.0), Cause.PROMPT),)


def test_who_is_left_out_by_the_volume_limit_is_told_so() -> None:
    """The published case of pausing: limit 256, the third request makes the batch too long."""
    requests = [asks(0, 15, 11), asks(1, 15, 13), asks(2, 66, 10)]
    result = simulated(
        "spyre_chunked",
        *requests,
        max_model_len=128,
        max_num_seqs=4,
        options=BatchingOptions(max_batch_tkv=256),
    )
    limited = {
        request.request_id: [p.interval for p in request.pauses if p.cause is Cause.LIMIT]
        for request in result.requests
    }
    assert limited == {
        "0": [Interval(9.0, 10.0), Interval(11.0, 12.0), Interval(13.0, 14.0)],
        "1": [Interval(10.0, 11.0), Interval(12.0, 13.0)],
        "2": [],
    }


def test_the_trace_is_the_published_one() -> None:
    """vllm-spyre's step test of a prompt that shifts the batch; plain decodes left out."""
    trace = Trace(None)
    simulated("spyre_continuous", asks(0, 49, 10), asks(1, 70, 4), max_model_len=192, trace=trace)
    rows = [
        (r.step, r.tkv, r.waiting, r.running, r.outputs, r.finished, r.num_used_blocks)
        for r in trace.rows
    ]
    assert rows == [
        (1, 64, ("1",), ("0",), ("0",), (), 1),
        (2, 128, (), ("1", "0"), ("1",), (), 3),
        (3, 129, (), ("1", "0"), ("1", "0"), (), 5),
        (5, 131, (), ("0",), ("1", "0"), ("1",), 5),
        (6, 68, (), ("0",), ("0",), (), 2),
        (11, 73, (), (), ("0",), ("0",), 2),
    ]


def test_a_trace_keeps_as_many_rows_as_it_was_told() -> None:
    trace = Trace(2)
    simulated("continuous", asks(0, 10, 2), asks(1, 10, 5), trace=trace)
    assert [row.step for row in trace.rows] == [1, 2]


def test_a_policy_that_cannot_work_is_refused_by_name() -> None:
    with pytest.raises(PlanRefused, match=r"static: .*--warmup-shapes"):
        simulated("static", asks(0, 10, 2))


def test_an_unknown_policy_is_refused_with_the_known_ones() -> None:
    with pytest.raises(PlanRefused, match=r"--scheduler .*continuous.*'best'"):
        policy_names(["continuous,best"])


def test_by_default_every_seat_has_blocks_for_a_full_request() -> None:
    bounds = Bounds(
        model_max_len=4096,
        max_model_len=None,
        max_num_seqs=3,
        max_num_batched_tokens=64,
        block_size=32,
        options=BatchingOptions(),
    )
    config = make_policy("continuous", bounds, num_blocks=None).config
    assert (config.max_model_len, config.num_blocks) == (2048, 3 * 2048 // 32)
    assert make_policy("continuous", bounds, num_blocks=100).config.num_blocks == 100


def test_who_gave_its_blocks_back_is_told_so() -> None:
    """Six blocks: at 30 s both need a seventh; the later one waits until the first has ended."""
    requests = [asks(0, 20, 60), asks(1, 20, 60)]
    result = simulated("continuous", *requests, max_model_len=80, num_blocks=6)
    first, second = sorted(result.requests, key=lambda request: request.request_id)
    assert first.pauses == ()
    assert second.pauses == (Pause(Interval(29.0, 60.0), Cause.PREEMPTION),)
    assert sum(step.num_preempted for step in result.steps) == 1
    assert result.steps[60].work.num_prompt_tokens == 33  # two of three blocks were needed
