"""How long choosing tokens takes, by what the requests ask for.

python benchmarks/sampling_time.py [--rows 32] [--vocab 50000] [--rounds 40]

One thread; random logits; medians of CPU time, which neighbours on the machine disturb least. Every
row has produced 1,000 tokens after a prompt of 1,000; the first step reads them.
"""

import argparse
import statistics
import time
from collections.abc import Mapping

import torch

from engine_svc.core.outputs import SampleSpec
from engine_svc.core.params import LengthPenalty, LogprobsParams, RequestId, SamplingParams
from engine_svc.core.sampling.sampler import Sampler, SampleRow

PROMPT_LEN = 1000
HISTORY = [(idx * 7919) % 1999 for idx in range(2 * PROMPT_LEN)]
GREEDY = SamplingParams(temperature=0.0)
HOT = SamplingParams(temperature=0.8, seed=3)
LAST = (HISTORY[-2], HISTORY[-1], 17)
CASES: Mapping[str, SampleSpec] = {
    "greedy": SampleSpec(sampling=GREEDY, output_index=0),
    "greedy, min_tokens": SampleSpec(sampling=GREEDY, output_index=0, banned_token_ids=(2,)),
    "greedy, logprobs 5": SampleSpec(
        sampling=GREEDY, output_index=0, logprobs=LogprobsParams(num_top=5)
    ),
    "greedy, all penalties": SampleSpec(
        sampling=SamplingParams(
            temperature=0.0,
            repetition_penalty=1.2,
            presence_penalty=0.5,
            frequency_penalty=0.5,
            length_penalty=LengthPenalty(start_index=10, decay_factor=1.01),
            logit_bias=tuple((token, 1.0) for token in range(100)),
            bad_word_ids=(LAST, (5,), (6, 7)),
        ),
        output_index=0,
        eos_token_ids=(2,),
    ),
    "drawn": SampleSpec(sampling=HOT, output_index=0),
    "drawn, top_k 50, top_p 0.9": SampleSpec(
        sampling=SamplingParams(temperature=0.8, seed=3, top_k=50, top_p=0.9), output_index=0
    ),
    "drawn, typical_p 0.9": SampleSpec(
        sampling=SamplingParams(temperature=0.8, seed=3, typical_p=0.9), output_index=0
    ),
}


def row(idx: int, case: SampleSpec) -> SampleRow:
    """A row of its own request that has come far."""
    spec = SampleSpec(
        sampling=case.sampling,
        output_index=0,
        banned_token_ids=case.banned_token_ids,
        eos_token_ids=case.eos_token_ids,
        logprobs=case.logprobs,
        num_prompt_tokens=PROMPT_LEN,
        history=HISTORY if case.sampling.looks_back else None,
    )
    return SampleRow(request_id=RequestId(str(idx)), spec=spec, position=len(HISTORY))


def main() -> None:
    """Print a line per case."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, default=32)
    parser.add_argument("--vocab", type=int, default=50_000)
    parser.add_argument("--rounds", type=int, default=40)
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    logits = torch.randn(arguments.rows, arguments.vocab) * 3
    for name, case in CASES.items():
        sampler, rows = Sampler(), [row(idx, case) for idx in range(arguments.rows)]
        times = []
        for _ in range(arguments.rounds):
            start = time.process_time()
            sampler.sample(logits, rows)
            times.append(time.process_time() - start)
        median, first = statistics.median(times) * 1e3, times[0] * 1e3
        print(f"{name:28} {median:8.2f} ms per step   first step {first:8.2f} ms")


if __name__ == "__main__":
    main()
