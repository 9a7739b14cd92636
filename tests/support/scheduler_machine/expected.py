"""What must come out of a request, told from the request alone.

The fake runner repeats the prompt for ever, so an output is known before it is produced.
"""

from dataclasses import dataclass, field

from engine_svc.core.outputs import RequestOutput
from engine_svc.core.params import FinishReason, TokenId
from engine_svc.core.request_spec import RequestSpec
from tests.support.rules.known import Known


@dataclass(kw_only=True)
class Owed:
    """A live request and what it was given so far."""

    spec: RequestSpec
    arrival: float
    arrival_idx: int
    output: list[TokenId] = field(default_factory=list)
    """Prior output included."""
    has_run: bool = False
    is_seated: bool = False
    """It runs, and was not preempted since."""
    first_position: int = 0
    """Of its first step: what the prefix cache spared."""

    def __post_init__(self) -> None:
        self.output = list(self.spec.prior_output_token_ids)

    @property
    def known(self) -> Known:
        """What a checker is told."""
        tokens = (*self.spec.prompt_token_ids, *self.output)
        return Known(spec=self.spec, arrival_idx=self.arrival_idx, token_ids=tokens)

    def is_expired(self, now: float) -> bool:
        """Whether its caller has left while it waits."""
        timeout_s = self.spec.timeout_s
        return not self.is_seated and timeout_s is not None and self.arrival + timeout_s <= now

    def take(self, told: RequestOutput, max_model_len: int) -> None:
        """Add what a step gave it.

        Raises:
            AssertionError: a gap, a wrong token, or an end too early, too late or misnamed.
        """
        if told.token_ids:
            assert told.first_position == len(self.output)
        self.output += told.token_ids
        expected, reason = echoed(self.spec, len(self.output), max_model_len)
        assert self.output == expected
        assert told.finish_reason is reason


def echoed(
    spec: RequestSpec, num_tokens: int, max_model_len: int
) -> tuple[list[TokenId], FinishReason | None]:
    """The first output tokens of a request, at most `num_tokens`, and why they end if they do."""
    prompt, stopping = spec.prompt_token_ids, spec.stopping
    output = list(spec.prior_output_token_ids)
    while len(output) < num_tokens:
        output.append(prompt[len(output) % len(prompt)])
        if output[-1] in stopping.eos_token_ids:
            return output, FinishReason.EOS
        if len(prompt) + len(output) >= max_model_len:
            return output, FinishReason.CONTEXT_LENGTH
        if len(output) >= stopping.max_tokens:
            return output, FinishReason.MAX_TOKENS
    return output, None
