"""From a step's logits to what its runner answers: shared by all runners."""

from collections.abc import Sequence

from torch import Tensor

from engine_svc.core.outputs import RowFault, RunnerOutput, ScheduledSequence
from engine_svc.core.sampling.sampler import Choice, Sampler, SampleRow


def answer(
    sampler: Sampler, sequences: Sequence[ScheduledSequence], logits: Tensor
) -> RunnerOutput:
    """The tokens and faults of the sequences that want a token.

    Args:
        sampler: the runner's.
        sequences: the step's.
        logits: [num_sampled, vocab] in the order of the sequences that want a token.
    """
    rows = [
        SampleRow(
            request_id=sequence.request_id, spec=sequence.sample, position=sequence.next_position
        )
        for sequence in sequences
        if sequence.sample is not None
    ]
    chosen = sampler.sample(logits, rows)
    results = {row.request_id: result for row, result in zip(rows, chosen, strict=True)}
    choices = {key: result for key, result in results.items() if isinstance(result, Choice)}
    return RunnerOutput(
        token_ids={key: (choice.token_id,) for key, choice in choices.items()},
        logprobs={
            key: (choice.logprobs,)
            for key, choice in choices.items()
            if choice.logprobs is not None
        },
        faults={key: result for key, result in results.items() if isinstance(result, RowFault)},
    )
