"""A request's part of a step."""

from engine_svc.core.finish import banned_token_ids
from engine_svc.core.outputs import SampleSpec, ScheduledSequence
from engine_svc.core.request import Request


def scheduled(
    request: Request, end: int, slots: tuple[int, ...], *, block_offset: int = 0
) -> ScheduledSequence:
    """The tokens up to position `end` - 1 that are not computed yet.

    Args:
        request: with the blocks that it needs.
        end: the position after the last; the next token is sampled if nothing is known beyond.
        slots: per token.
        block_offset: empty slots in front of position 0.
    """
    return ScheduledSequence(
        request_id=request.request_id,
        token_ids=tuple(request.token_ids[request.num_computed_tokens : end]),
        first_position=request.num_computed_tokens,
        num_prompt_tokens=request.spec.num_prompt_tokens,
        block_table=request.block_table,
        slot_mapping=slots,
        block_offset=block_offset,
        sample=_sample_spec(request) if end == len(request.token_ids) else None,
    )


def _sample_spec(request: Request) -> SampleSpec:
    spec = request.spec
    return SampleSpec(
        sampling=spec.sampling,
        output_index=spec.output_index,
        banned_token_ids=banned_token_ids(request),
        eos_token_ids=spec.stopping.eos_token_ids,
        logprobs=spec.logprobs,
        num_prompt_tokens=spec.num_prompt_tokens,
        history=request.token_ids if spec.sampling.looks_back else None,
    )
