"""When a request ends, decided from its tokens and the time."""

from dataclasses import dataclass

from engine_svc.core.params import FinishReason, TokenId
from engine_svc.core.request import Request


@dataclass(frozen=True, slots=True, kw_only=True)
class Ending:
    """Why a request ends."""

    reason: FinishReason
    stop_token_id: TokenId | None = None


def ending_of(request: Request, *, max_model_len: int, now: float) -> Ending | None:
    """Why `request` ends after its last token; None if it goes on.

    A token ends it before a length does: an end token at max_tokens is an end by token. A full
    context is told as such, whether or not max_tokens is reached with it.
    """
    stopping, num_output_tokens = request.spec.stopping, request.num_output_tokens
    last = request.token_ids[-1]
    if num_output_tokens >= stopping.min_tokens:
        if last in stopping.eos_token_ids:
            return Ending(reason=FinishReason.EOS, stop_token_id=last)
        if last in stopping.stop_token_ids:
            return Ending(reason=FinishReason.STOP_TOKEN, stop_token_id=last)
    if len(request.token_ids) >= max_model_len:
        return Ending(reason=FinishReason.CONTEXT_LENGTH)
    if num_output_tokens >= stopping.max_tokens:
        return Ending(reason=FinishReason.MAX_TOKENS)
    return time_ending_of(request, now)


def time_ending_of(request: Request, now: float) -> Ending | None:
    """TIME_LIMIT if the request's time is over, whatever it has."""
    time_limit = request.time_limit
    if time_limit is None or now < time_limit:
        return None
    return Ending(reason=FinishReason.TIME_LIMIT)


def banned_token_ids(request: Request) -> tuple[TokenId, ...]:
    """Tokens that must not come next: the end tokens, while min_tokens is not reached."""
    stopping = request.spec.stopping
    if request.num_output_tokens + 1 >= stopping.min_tokens:
        return ()
    return stopping.eos_token_ids + stopping.stop_token_ids
