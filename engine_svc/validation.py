"""From a wire request to a RequestSpec: every default filled in, every number checked again."""

import re
from dataclasses import dataclass

from engine_svc.core.messages import EngineInfo
from engine_svc.core.params import RequestId, StoppingParams
from engine_svc.core.request_spec import RequestSpec
from engine_svc.parameters import logprobs_of, sampling_of
from engine_svc.room import room_for, rule_of
from steeple.engine.v1 import generate_pb2
from steeple_rpc.errors import InvalidRequest, NotFound
from steeple_rpc.limits import Bounds, check_number, check_token_ids
from steeple_rpc.parameters import check_request

OUTPUT_INDEX = Bounds(low=0, high=7)
_REQUEST_ID = re.compile(r"[A-Za-z0-9_.:/#-]{1,160}")


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLimits:
    """What requests of one engine are held to."""

    model: str
    default_max_tokens: int
    info: EngineInfo


def to_spec(
    request: generate_pb2.GenerateRequest,
    limits: EngineLimits,
    *,
    timeout_s: float | None = None,
) -> RequestSpec:
    """Check a request and fill in its defaults.

    Args:
        request: as it came.
        limits: the engine's.
        timeout_s: how long the caller will wait from now on; None = for ever.

    Raises:
        InvalidRequest, NotFound, Unsupported, FailedPrecondition: what is wrong, with field,
            limit and value.
    """
    _check_names(request, limits)
    check_request(request)
    check_number("output_index", request.output_index, OUTPUT_INDEX)
    stopping = _stopping(request, limits)
    _check_prior(len(request.prior_output_token_ids), stopping.max_tokens)
    # After the lengths: millions of ids would be looked at for nothing.
    vocab_size = limits.info.vocab_size
    check_token_ids("prompt_token_ids", request.prompt_token_ids, vocab_size)
    check_token_ids("prior_output_token_ids", request.prior_output_token_ids, vocab_size)
    check_token_ids("stopping.stop_token_ids", request.stopping.stop_token_ids, vocab_size)
    return RequestSpec(
        request_id=RequestId(request.request_id),
        prompt_token_ids=tuple(request.prompt_token_ids),
        prior_output_token_ids=tuple(request.prior_output_token_ids),
        sampling=sampling_of(request, limits.info),
        stopping=stopping,
        output_index=request.output_index,
        priority=request.priority,
        timeout_s=timeout_s,
        logprobs=logprobs_of(request.output, vocab_size),
        cache_salt=request.cache_salt,
    )


def _check_names(request: generate_pb2.GenerateRequest, limits: EngineLimits) -> None:
    if not _REQUEST_ID.fullmatch(request.request_id):
        raise InvalidRequest("request_id must be 1 to 160 of [A-Za-z0-9_.:/#-]", field="request_id")
    if request.model != limits.model:
        raise NotFound(
            "this engine does not serve the model", reason="MODEL_NOT_FOUND", field="model"
        )
    if not request.prompt_token_ids:
        raise InvalidRequest(
            "the prompt has no tokens", reason="EMPTY_PROMPT", field="prompt_token_ids"
        )
    if request.stopping.stop:
        raise InvalidRequest("stop strings are not the engine's", field="stopping.stop")
    if request.sampling.bad_words:
        raise InvalidRequest("words are not the engine's", field="sampling.bad_words")


def _stopping(request: generate_pb2.GenerateRequest, limits: EngineLimits) -> StoppingParams:
    given = request.stopping
    eos = () if given.ignore_eos else limits.info.eos_token_ids
    return StoppingParams(
        max_tokens=_max_tokens(request, limits),
        min_tokens=given.min_tokens,
        eos_token_ids=eos,
        stop_token_ids=tuple(given.stop_token_ids),
        time_limit_s=given.time_limit_ms / 1e3 if given.HasField("time_limit_ms") else None,
    )


def _check_prior(num_prior: int, max_tokens: int) -> None:
    """Prior output counts as output: some must be left to produce."""
    if num_prior >= max_tokens:
        raise InvalidRequest(
            f"prior_output_token_ids must be fewer than max_tokens {max_tokens}; there are"
            f" {num_prior}",
            reason="OUT_OF_RANGE",
            field="prior_output_token_ids",
        )


def _max_tokens(request: generate_pb2.GenerateRequest, limits: EngineLimits) -> int:
    """The caller's, else what the policy has room for up to the server's cap."""
    room = _room(request, limits.info)
    given = request.stopping
    _check_room("min_tokens", given.min_tokens, room, limits.info)
    if given.HasField("max_tokens"):
        _check_room("max_tokens", given.max_tokens, room, limits.info)
        return given.max_tokens
    return max(min(room, limits.default_max_tokens), given.min_tokens)


def _room(request: generate_pb2.GenerateRequest, info: EngineInfo) -> int:
    """The largest max_tokens, prior output counted, that the prompt leaves.

    Raises:
        InvalidRequest: it leaves none.
    """
    num_prior = len(request.prior_output_token_ids)
    num_prompt = len(request.prompt_token_ids)
    room = room_for(info, num_prompt + num_prior)
    if room > 0:
        return num_prior + room
    raise InvalidRequest(
        f"the prompt has {num_prompt} tokens{f' and {num_prior} of output' if num_prior else ''};"
        f" with at least one more they exceed what this engine takes: {rule_of(info)}",
        reason="PROMPT_TOO_LONG",
        field="prompt_token_ids",
    )


def _check_room(name: str, value: int, room: int, info: EngineInfo) -> None:
    if value > room:
        raise InvalidRequest(
            f"stopping.{name} must be at most {room} with this prompt: {rule_of(info)}; it is"
            f" {value}",
            reason="CONTEXT_EXCEEDED",
            field=f"stopping.{name}",
        )
