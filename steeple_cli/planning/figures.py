"""The figures of a simulation: virtual times, shares from 0 to 1, None where nothing was done."""

from dataclasses import dataclass

from steeple_cli.load.percentiles import Percentiles


@dataclass(frozen=True, slots=True, kw_only=True)
class Counts:
    """How much there was."""

    num_finished: int
    num_refused: int
    num_steps: int
    num_prompt_steps: int
    """Steps that compute prompt tokens, beside decodes or alone."""
    num_preemptions: int
    """Requests that gave their blocks back, counted each time."""
    span_s: float
    """From the first arrival to the last token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates:
    """How much of it was done per second of the span."""

    requests_per_s: float | None
    prompt_tokens_per_s: float | None
    output_tokens_per_s: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Use:
    """How well device, seats and blocks were used."""

    busy_share: float | None
    """Of the span: time in which a step runs."""
    mean_seats: float | None
    """Requests that have been started and have not ended, averaged over the span."""
    mean_decodes: float | None
    """Requests that get a token in a step that decodes."""
    peak_blocks: int
    num_blocks: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Latencies:
    """What a caller waits for."""

    queue_s: Percentiles | None
    """From arrival to the first step."""
    ttft_s: Percentiles | None
    """From arrival to the first token."""
    itl_s: Percentiles | None
    """From one token to the next, over all pairs of all requests."""
    total_s: Percentiles | None
    """From arrival to the last token."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Waste:
    """What was computed in vain."""

    prompt_padding: float | None
    """Of the query positions computed for prompts: the share that holds no token."""
    decode_padding: float | None
    """Of the KV positions read for decodes: the share that holds no token."""
    num_recomputed_tokens: int
    """Prompt tokens computed although the cache held them: chunks begin where chunks begin."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Spared:
    """What the prefix cache did."""

    num_cached_tokens: int
    """Prompt tokens that were not computed."""
    cached_share: float | None
    """Of all prompt tokens."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Pauses:
    """Request-seconds in which requests that decode stood still; shares are of all decoding."""

    limit_s: float
    """A decode step had no room for them."""
    limit_share: float | None
    prompt_s: float
    """The step was another request's prompt."""
    prompt_share: float | None
    preemption_s: float
    """They had given their blocks back."""
    preemption_share: float | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Figures:
    """What a policy made of a workload."""

    counts: Counts
    rates: Rates
    use: Use
    latencies: Latencies
    waste: Waste
    spared: Spared
    pauses: Pauses
