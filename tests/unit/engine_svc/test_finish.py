"""When a request ends, and which tokens must not come yet."""

from engine_svc.core.finish import banned_token_ids, ending_of
from engine_svc.core.params import FinishReason
from engine_svc.core.request import Request
from tests.support.requests import request_spec


def request_with(output: tuple[int, ...], **options: object) -> Request:
    """A request that has produced `output`."""
    spec = request_spec("a", 3, **{"max_tokens": 4, **options})  # type: ignore[arg-type] # by name
    request = Request(spec=spec, arrival=0.0)
    request.append(output)
    return request


def reason(request: Request, now: float = 0.0) -> FinishReason | None:
    """Why it ends, in a context of 9."""
    ending = ending_of(request, max_model_len=9, now=now)
    return ending.reason if ending else None


def test_end_tokens_end_it_and_are_told() -> None:
    """The model's own and the request's are told apart."""
    ending = ending_of(request_with((5,), eos=(5,)), max_model_len=9, now=0.0)
    assert ending is not None
    assert (ending.reason, ending.stop_token_id) == (FinishReason.EOS, 5)
    ending = ending_of(request_with((6,), stop=(6,)), max_model_len=9, now=0.0)
    assert ending is not None
    assert (ending.reason, ending.stop_token_id) == (FinishReason.STOP_TOKEN, 6)


def test_an_end_token_at_the_last_place_is_an_end_by_token() -> None:
    """Not by max_tokens."""
    assert reason(request_with((1, 1, 1, 5), eos=(5,))) is FinishReason.EOS


def test_lengths_end_it() -> None:
    """max_tokens first, then the context."""
    assert reason(request_with((1, 1, 1))) is None
    assert reason(request_with((1, 1, 1, 1))) is FinishReason.MAX_TOKENS
    long = request_with((1,) * 6, max_tokens=7)
    assert reason(long) is FinishReason.CONTEXT_LENGTH


def test_time_ends_it_when_nothing_else_does() -> None:
    """At the limit, min_tokens or not; an end by token or length keeps its name."""
    assert reason(request_with((1,), time_limit_s=2.0, min_tokens=3), 1.9) is None
    assert (
        reason(request_with((1,), time_limit_s=2.0, min_tokens=3), 2.0) is FinishReason.TIME_LIMIT
    )
    assert reason(request_with((5,), time_limit_s=2.0, eos=(5,)), 9.0) is FinishReason.EOS
    assert reason(request_with((1,) * 4, time_limit_s=2.0), 9.0) is FinishReason.MAX_TOKENS


def test_end_tokens_are_banned_until_min_tokens() -> None:
    """The token that reaches min_tokens may be an end token; none before it may."""
    assert banned_token_ids(request_with((), min_tokens=2, eos=(5,), stop=(6,))) == (5, 6)
    assert banned_token_ids(request_with((1,), min_tokens=2, eos=(5,))) == ()
    assert reason(request_with((5,), min_tokens=2, eos=(5,))) is None
    assert reason(request_with((1, 5), min_tokens=2, eos=(5,))) is FinishReason.EOS
