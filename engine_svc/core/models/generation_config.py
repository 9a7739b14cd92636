"""The model maker's own defaults: how its tokens are chosen and which of them end an output."""

from typing import Any, NoReturn

from engine_svc.core.errors import StartupError
from engine_svc.core.params import SamplingParams, TokenId

_FILE = "generation_config.json"
_MAX_TEMPERATURE = 100.0
_MAX_TOP_K = 1_000_000
_MAX_REPETITION_PENALTY = 10.0

# JSON objects of any shape until checked.
Json = dict[str, Any]


def default_sampling(generation: Json) -> SamplingParams:
    """The model's habit; where it says nothing, plain sampling at temperature 1.

    Raises:
        StartupError: a value is out of the range that requests may use.
    """
    # A penalty counts for greedy models too; the rest is about drawing.
    penalty = _positive(generation, "repetition_penalty", greatest=_MAX_REPETITION_PENALTY)
    sampling = SamplingParams(
        temperature=_number(generation, "temperature", 1.0, greatest=_MAX_TEMPERATURE),
        top_k=_top_k(generation),
        top_p=_positive(generation, "top_p", greatest=1.0),
        min_p=_number(generation, "min_p", 0.0, greatest=1.0),
        typical_p=_positive(generation, "typical_p", greatest=1.0),
        repetition_penalty=penalty,
    )
    if generation.get("do_sample") is False:
        return SamplingParams(temperature=0.0, repetition_penalty=penalty)
    return sampling


def end_token_ids(config: Json, generation: Json, *, vocab_size: int) -> tuple[TokenId, ...]:
    """The tokens that end an output, ascending; the generation config wins over the config.

    Raises:
        StartupError: something in the list is no token id of the vocabulary.
    """
    value = generation.get("eos_token_id")
    if value is None:
        value = config.get("eos_token_id")
    ids = value if isinstance(value, list) else [value] * (value is not None)
    if any(type(token) is not int or not 0 <= token < vocab_size for token in ids):
        _fail("eos_token_id", value, f"be a token id below {vocab_size} or a list of such ids")
    return tuple(sorted(set(ids)))


def _number(generation: Json, name: str, default: float, *, greatest: float) -> float:
    value = generation.get(name)
    if value is None:
        return default
    # A comparison that is also false for NaN.
    if type(value) not in (int, float) or not 0.0 <= value <= greatest:
        _fail(name, value, f"be a number from 0 to {greatest:g}")
    return float(value)


def _positive(generation: Json, name: str, *, greatest: float) -> float:
    """A number above 0; 1, which asks for nothing, where there is none."""
    value = _number(generation, name, 1.0, greatest=greatest)
    if value == 0.0:
        _fail(name, value, "be above 0")
    return value


def _top_k(generation: Json) -> int:
    value = generation.get("top_k")
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= _MAX_TOP_K:
        _fail("top_k", value, f"be a whole number from 0 to {_MAX_TOP_K}")
    return int(value)


def _fail(name: str, value: Any, rule: str) -> NoReturn:
    raise StartupError(f"{_FILE}: {name} = {value!r} must {rule}")
