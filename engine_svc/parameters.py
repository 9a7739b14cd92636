"""The request's parameters as the core reads them: what is unset takes the model's default."""

from engine_svc.core.messages import EngineInfo
from engine_svc.core.params import LengthPenalty, LogprobsParams, SamplingParams, TokenId
from steeple.common.v1 import sampling_pb2
from steeple.engine.v1 import generate_pb2
from steeple_rpc.errors import FailedPrecondition, InvalidRequest
from steeple_rpc.limits import check_count, check_token_ids, check_token_keys

MAX_BAD_WORD_SEQUENCES = 256
MAX_BAD_WORD_TOKENS = 64


def sampling_of(request: generate_pb2.GenerateRequest, info: EngineInfo) -> SamplingParams:
    """How the next token is chosen.

    Args:
        request: its parameters are within their bounds.
        info: whose defaults, vocabulary and end tokens hold.

    Raises:
        InvalidRequest: an id is no token, or the seed is missing.
        FailedPrecondition: the model has no end token that could become likelier.
    """
    given, default = request.sampling, info.default_sampling
    check_token_keys("sampling.logit_bias", given.logit_bias, info.vocab_size)

    def chosen(name: str) -> float:
        value: float = getattr(given if given.HasField(name) else default, name)  # type: ignore[arg-type] # HasField wants literals
        return value

    sampling = SamplingParams(
        temperature=chosen("temperature"),
        top_k=int(chosen("top_k")),
        top_p=chosen("top_p"),
        min_p=chosen("min_p"),
        typical_p=chosen("typical_p"),
        seed=given.seed,
        repetition_penalty=chosen("repetition_penalty"),
        presence_penalty=chosen("presence_penalty"),
        frequency_penalty=chosen("frequency_penalty"),
        length_penalty=_length_penalty(given, info),
        logit_bias=tuple(sorted(given.logit_bias.items())),
        bad_word_ids=_bad_word_ids(request, info.vocab_size),
    )
    if not sampling.is_greedy and not given.HasField("seed"):
        raise InvalidRequest("random sampling needs a seed", field="sampling.seed")
    return sampling


def logprobs_of(output: sampling_pb2.OutputParams, vocab_size: int) -> LogprobsParams | None:
    """Which log-probabilities are wanted; None = none.

    Raises:
        InvalidRequest: an id is no token.
    """
    check_token_ids("output.logprob_token_ids", output.logprob_token_ids, vocab_size)
    if not output.HasField("logprobs") and not output.logprob_token_ids:
        return None
    return LogprobsParams(num_top=output.logprobs, token_ids=tuple(output.logprob_token_ids))


def _length_penalty(given: sampling_pb2.SamplingParams, info: EngineInfo) -> LengthPenalty | None:
    if not given.HasField("length_penalty"):
        return None
    if not info.eos_token_ids:
        raise FailedPrecondition(
            "the model has no end-of-sequence token that could become likelier",
            field="sampling.length_penalty",
        )
    return LengthPenalty(
        start_index=given.length_penalty.start_index,
        decay_factor=given.length_penalty.decay_factor,
    )


def _bad_word_ids(
    request: generate_pb2.GenerateRequest, vocab_size: int
) -> tuple[tuple[TokenId, ...], ...]:
    check_count("bad_word_ids", len(request.bad_word_ids), MAX_BAD_WORD_SEQUENCES)
    for index, sequence in enumerate(request.bad_word_ids):
        field = f"bad_word_ids[{index}].ids"
        if not sequence.ids:
            raise InvalidRequest(f"{field} is empty", reason="OUT_OF_RANGE", field=field)
        check_count(field, len(sequence.ids), MAX_BAD_WORD_TOKENS)
        check_token_ids(field, sequence.ids, vocab_size)
    return tuple(tuple(sequence.ids) for sequence in request.bad_word_ids)
