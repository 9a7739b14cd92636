"""How busy a deployment is: what `Client.load` and `Client.watch_load` give."""

from dataclasses import dataclass

DEFAULT_INTERVAL_S = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Latency:
    """Percentiles of times, each exact to 5 %; all 0 where nothing was observed."""

    count: int = 0
    p50_s: float = 0.0
    p90_s: float = 0.0
    p99_s: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class GatewayLoad:
    """The gateway as a whole."""

    version: str
    uptime_s: float
    window_s: float
    """What the rates and latencies of its models are about: the last so many seconds."""
    is_tokenizer_ready: bool
    num_sessions: int
    """Answers that are decoded now."""
    num_refused: int
    """Requests of the window that were refused before they held a permit."""
    num_takeovers: int
    """Times that a request went on at another engine, since the start."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelLoad:
    """One model over all its engines."""

    model: str
    trouble: str
    """Why it cannot be served now, e.g. ENGINE_NOT_READY; empty where it can."""
    num_live: int
    """Requests that hold a permit."""
    num_permits: int
    num_ended: int
    """Of the window."""
    num_failed: int
    """Of those."""
    prompt_tokens_per_s: float
    completion_tokens_per_s: float
    time_to_first_token: Latency
    inter_token: Latency
    queue: Latency
    """From an engine's acceptance of a request to its first step."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineWork:
    """An engine's requests and blocks, of every gateway, and what it did lately."""

    num_running: int
    num_waiting: int
    num_waiting_tokens: int
    """Prompt tokens of the waiting requests."""
    num_free_blocks: int
    num_used_blocks: int
    num_cached_blocks: int
    num_total_blocks: int
    block_size: int
    is_draining: bool
    since_last_step_s: float
    """0 while no request is there."""
    counted_s: float
    """What the following is about: the last so many seconds. 0: too new to tell, all are 0."""
    steps_per_s: float = 0.0
    output_tokens_per_s: float = 0.0
    prompt_tokens_per_s: float = 0.0
    """Of requests that started."""
    cached_share: float = 0.0
    """The part of these that the prefix cache spared, 0 to 1."""
    num_preemptions: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineLoad:
    """One engine as the gateway sees it."""

    is_ready: bool
    """If it is not, nothing else is known."""
    model: str = ""
    runner: str = ""
    device: str = ""
    scheduler: str = ""
    num_here: int = 0
    """Live requests that this gateway sent."""
    work: EngineWork | None = None
    """None: it has fallen silent."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """What a gateway sees at one moment."""

    gateway: GatewayLoad
    models: tuple[ModelLoad, ...]
    """By name."""
    engines: tuple[EngineLoad, ...]
    """In the gateway's order."""
