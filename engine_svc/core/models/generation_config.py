"""The model maker's own defaults: how its tokens are chosen and which of them end an output."""

from typing import Any, NoReturn

from engine_svc.core.errors import StartupError
from engine_svc.core.params import SamplingParams, TokenId

_FILE = "generation_config.json"
_MAX_TEMPERATURE = 100.0
_MAX_TOP_K = 1_000_000

# JSON objects of any shape until checked.
Json = dict[str, Any]


def default_sampling(generation: Json) -> SamplingParams:
    """The model's habit; where it says nothing, plain sampling at temperature 1.

    Raises:
        StartupError: a value is out of the range that requests may use.
    """
    sampling = SamplingParams(
        temperature=_number(generation, "temperature", 1.0, greatest=_MAX_TEMPERATURE),
        top_k=_top_k(generation),
        top_p=_number(generation, "top_p", 1.0, greatest=1.0),
        min_p=_number(generation, "min_p", 0.0, greatest=1.0),
    )
    if sampling.top_p == 0.0:
        _fail("top_p", sampling.top_p, "be above 0")
    return SamplingParams(temperature=0.0) if generation.get("do_sample") is False else sampling


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


def _top_k(generation: Json) -> int:
    value = generation.get("top_k")
    if value is None:
        return 0
    if type(value) is not int or not 0 <= value <= _MAX_TOP_K:
        _fail("top_k", value, f"be a whole number from 0 to {_MAX_TOP_K}")
    return int(value)


def _fail(name: str, value: Any, rule: str) -> NoReturn:
    raise StartupError(f"{_FILE}: {name} = {value!r} must {rule}")
