"""What a request asks of the core. The front makes it; it never changes."""

from dataclasses import dataclass

from engine_svc.core.params import (
    LogprobsParams,
    RequestId,
    SamplingParams,
    StoppingParams,
    TokenId,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class RequestSpec:
    """What was asked for; never changes."""

    request_id: RequestId
    prompt_token_ids: tuple[TokenId, ...]
    """Never empty."""
    prior_output_token_ids: tuple[TokenId, ...] = ()
    """Output that an earlier engine produced; counts as output everywhere."""
    sampling: SamplingParams
    stopping: StoppingParams
    output_index: int = 0
    priority: int = 0
    """Lower goes first."""
    timeout_s: float | None = None
    """How long the caller will wait from now on; None = for ever."""
    logprobs: LogprobsParams | None = None
    """None = no log-probabilities are told."""
    cache_salt: str = ""
    """Cached prefixes are shared only among requests of one salt."""

    @property
    def num_prompt_tokens(self) -> int:
        """Length of the prompt."""
        return len(self.prompt_token_ids)

    @property
    def num_prefill_tokens(self) -> int:
        """Tokens to compute before the first new one: the prompt and the prior output."""
        return len(self.prompt_token_ids) + len(self.prior_output_token_ids)

    @property
    def num_new_tokens(self) -> int:
        """Most tokens that are still to be produced."""
        return self.stopping.max_tokens - len(self.prior_output_token_ids)

    @property
    def max_num_tokens(self) -> int:
        """Longest that prompt and output together can become."""
        return len(self.prompt_token_ids) + self.stopping.max_tokens
