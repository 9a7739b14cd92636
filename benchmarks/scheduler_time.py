"""Time of one scheduler step, by policy, running and waiting requests.

    python benchmarks/scheduler_time.py [--rounds 5]

A step is schedule + update_from_output, without a runner. Rounds alternate between the cases;
medians over all steps of all rounds are told, in milliseconds. The aims: 0.3 ms at 32 running,
2 ms at 256, no growth with the queue.
"""

import argparse
import statistics
import time
from dataclasses import dataclass, field, replace

from engine_svc.core.batching import BatchingOptions, OverLimit, WarmupShape
from engine_svc.core.outputs import RunnerOutput, SchedulerOutput
from engine_svc.core.params import RequestId, SamplingParams, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.core.scheduler.base import Bounds, Scheduler, SchedulerConfig
from engine_svc.core.scheduler.registry import SCHEDULERS

MAX_MODEL_LEN = 2048
PROMPT_LEN = 200
NUM_STEPS = 150
SAMPLING = SamplingParams(temperature=0.0)


def bounds(policy: str, num_running: int, options: BatchingOptions) -> Bounds:
    """What a server of this size would ask for."""
    return Bounds(
        model_max_len=MAX_MODEL_LEN,
        max_model_len=None if policy == "static" else MAX_MODEL_LEN,
        max_num_seqs=num_running,
        max_num_batched_tokens=512,
        block_size=None,
        options=options,
    )


def make(policy: str, num_running: int, options: BatchingOptions) -> Scheduler:
    """A scheduler with blocks for all."""
    if policy == "static":
        shape = WarmupShape(prompt_len=256, new_tokens=1024, batch_size=num_running)
        options = replace(options, shapes=(shape,))
    settled = SCHEDULERS[policy].settle(bounds(policy, num_running, options))
    max_model_len, block_size = settled.max_model_len or MAX_MODEL_LEN, settled.block_size or 16
    return SCHEDULERS[policy](
        SchedulerConfig(
            num_blocks=num_running * max_model_len // block_size,
            block_size=block_size,
            max_model_len=max_model_len,
            max_num_seqs=settled.max_num_seqs,
            max_num_batched_tokens=settled.max_num_batched_tokens,
            options=settled.options,
        )
    )


def request(idx: int) -> RequestSpec:
    """A request with a prompt of its own."""
    first = 1 + idx * PROMPT_LEN
    return RequestSpec(
        request_id=RequestId(f"r{idx}"),
        prompt_token_ids=tuple(range(first, first + PROMPT_LEN)),
        sampling=SAMPLING,
        stopping=StoppingParams(max_tokens=1000),
    )


def answered(step: SchedulerOutput) -> RunnerOutput:
    """Token 1 for everybody."""
    wanted = [s.request_id for s in step.sequences if s.sample is not None]
    return RunnerOutput(token_ids=dict.fromkeys(wanted, (1,)))


def next_step(scheduler: Scheduler) -> SchedulerOutput:
    """The next step; there is always one here."""
    step = scheduler.schedule(0.0)
    if step is None:
        raise RuntimeError("the scheduler had nothing to run")
    return step


def fill(scheduler: Scheduler, num_running: int) -> None:
    """Bring so many requests to decode."""
    for idx in range(num_running):
        scheduler.add_request(request(idx), 0.0)
    while True:
        step = next_step(scheduler)
        scheduler.update_from_output(step, answered(step), 0.0)
        if len(step.sequences) == num_running and step.num_tokens == num_running:
            return


def step_times_ms(scheduler: Scheduler) -> list[float]:
    """Of the next steps."""
    times = []
    for _ in range(NUM_STEPS):
        start = time.perf_counter()
        step = next_step(scheduler)
        between = time.perf_counter()
        answer = answered(step)
        resumed = time.perf_counter()
        scheduler.update_from_output(step, answer, 0.0)
        times.append(1e3 * (time.perf_counter() - resumed + between - start))
    return times


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """What is measured."""

    name: str
    policy: str
    num_running: int
    num_waiting: int
    options: BatchingOptions = field(default_factory=BatchingOptions)
    num_free_seats: int = 0


def cases() -> list[Case]:
    """Every policy with a full batch; then the steps that cost spyre_chunked the most."""
    sizes = [(running, waiting) for running in (32, 256) for waiting in (0, 10_000)]
    found = [
        Case(name=policy, policy=policy, num_running=running, num_waiting=waiting)
        for policy in SCHEDULERS
        for running, waiting in sizes
    ]
    for running, waiting in sizes:
        longest = 64 * (2 + (PROMPT_LEN + running) // 64)
        pausing = BatchingOptions(max_batch_tkv=running * longest)
        # One more of these requests would exceed it: the head of the queue is checked and refused.
        ahead = BatchingOptions(over_limit=OverLimit.LOOK_AHEAD, max_batch_tkv=running * 1280 + 640)
        base = Case(name="", policy="spyre_chunked", num_running=running, num_waiting=waiting)
        found += [
            replace(base, name="spyre_chunked, pausing", options=pausing),
            replace(
                base, name="spyre_chunked, head refused", options=ahead, num_free_seats=running
            ),
        ]
    return found


def measure(case: Case) -> list[float]:
    """Decode steps of a full batch with a queue behind it."""
    scheduler = make(case.policy, case.num_running + case.num_free_seats, case.options)
    fill(scheduler, case.num_running)
    for idx in range(case.num_waiting):
        scheduler.add_request(request(case.num_running + idx), 0.0)
    return step_times_ms(scheduler)


def main() -> None:
    """Measure all cases in turn; print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    times: dict[Case, list[float]] = {case: [] for case in cases()}
    for _ in range(rounds):
        for case in times:
            times[case] += measure(case)
    print(f"{'policy':30}{'running':>8}{'waiting':>9}{'median ms':>11}{'p99 ms':>9}")
    for case, values in times.items():
        p99 = statistics.quantiles(values, n=100)[98]
        sizes = f"{case.num_running:8}{case.num_waiting:9}"
        print(f"{case.name:30}{sizes}{statistics.median(values):11.3f}{p99:9.3f}")


if __name__ == "__main__":
    main()
