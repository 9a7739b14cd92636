"""What a checker is told of a request: what its caller knows, nothing of the policy's."""

from collections.abc import Mapping
from dataclasses import dataclass

from engine_svc.core.params import RequestId, TokenId
from engine_svc.core.request_spec import RequestSpec


@dataclass(frozen=True, slots=True, kw_only=True)
class Known:
    """A live request between two steps."""

    spec: RequestSpec
    arrival_idx: int
    """Counts the arrivals of one scheduler."""
    token_ids: tuple[TokenId, ...]
    """Prompt and all output so far."""

    @property
    def turn(self) -> tuple[int, int]:
        """Whoever has the lowest one is the head of the queue."""
        return self.spec.priority, self.arrival_idx

    @property
    def num_prefill_tokens(self) -> int:
        """Tokens to compute before the first new one."""
        return len(self.spec.prompt_token_ids) + len(self.spec.prior_output_token_ids)

    @property
    def num_new_tokens(self) -> int:
        """Most tokens that this scheduler will ever add."""
        return self.spec.stopping.max_tokens - len(self.spec.prior_output_token_ids)


KnownRequests = Mapping[RequestId, Known]
"""All live requests: those that wait and those that have run."""
