"""What can be asked of a generation; the contract's defaults where a name is left out."""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from steeple_client.values import LengthPenalty


class GenerateOptions(TypedDict, total=False):
    """Keyword arguments of every generating call. Ranges and meaning: docs/parameters.md."""

    model: str
    """Served name; may be left out where exactly one model is served."""
    request_id: str
    temperature: float
    """0 = greedy."""
    top_k: int
    top_p: float
    min_p: float
    typical_p: float
    seed: int
    repetition_penalty: float
    presence_penalty: float
    frequency_penalty: float
    length_penalty: LengthPenalty
    logit_bias: Mapping[int, float]
    """By token id."""
    bad_words: Sequence[str]
    max_tokens: int
    min_tokens: int
    stop: Sequence[str]
    stop_token_ids: Sequence[int]
    ignore_eos: bool
    include_stop_in_output: bool
    time_limit_ms: int
    """After it the output so far is the result; unlike `timeout_s` it is no error."""
    skip_special_tokens: bool
    token_details: bool
    logprobs: int
    """Of each output token and of so many likeliest ones."""
    logprob_token_ids: Sequence[int]
    """Of each output token and of exactly these."""
    truncate_prompt_tokens: int
    cache_salt: str
    """Cached prefixes are shared only within one salt."""
    priority: int
    """-1000 to 1000, lower goes first; left out = 0."""
    timeout_s: float
    """Seconds, over all attempts, after which the call ends DeadlineExpired.

    Left out = the client's `timeout_s`, and without one the server's limit.
    """


class ChatOptions(GenerateOptions, total=False):
    """Keyword arguments of the calls that answer a conversation."""

    continue_final_message: bool
    """The last message is the assistant's and unfinished: go on with it."""
    template_args: Mapping[str, object]
    """Values for the model's chat template, of those that it allows; what JSON can say."""
