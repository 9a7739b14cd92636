"""How long a step takes: a line in what the device computes.

    base + prefill * prompt positions + row * decode rows + kv * KV positions read

The defaults are an example, not a measurement: 16 GB of weights and 160 KiB of KV cache per token
read at 800 GB/s, about 6,700 prompt tokens per second, 0.1 ms per row for all that a row costs
besides. Policies compare well under it; for times that can be relied on, measure a device.
"""

from dataclasses import dataclass, fields

from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.step_work import StepWork

MIN_BASE_MS = 0.001
"""Every step takes time: as much as the clock can tell."""
MAX_PRICE = 1e6


@dataclass(frozen=True, slots=True, kw_only=True)
class StepTime:
    """The four numbers.

    Raises:
        PlanRefused: one is not 0 to MAX_PRICE, or a step would take less than MIN_BASE_MS.
    """

    base_ms: float = 20.0
    """Of every step: reading the weights."""
    prefill_us_per_token: float = 150.0
    """Per prompt position computed, padding included."""
    decode_us_per_row: float = 100.0
    """Per decode row computed, padding included."""
    kv_ns_per_token: float = 200.0
    """Per KV position read by a row, padding included."""

    def __post_init__(self) -> None:
        for field in fields(self):
            value: float = getattr(self, field.name)
            least = MIN_BASE_MS if field.name == "base_ms" else 0
            if not least <= value <= MAX_PRICE:
                raise PlanRefused(
                    f"{_OPTIONS[field.name]} is {least:g} to {MAX_PRICE:.0f}; it is {value:g}"
                )

    def seconds(self, work: StepWork) -> float:
        """How long a step with this work takes."""
        num_kv_positions = work.num_prompt_kv_positions + work.num_decode_kv_positions
        return (
            self.base_ms * 1e-3
            + self.prefill_us_per_token * 1e-6 * work.num_prompt_positions
            + self.decode_us_per_row * 1e-6 * work.num_decode_rows
            + self.kv_ns_per_token * 1e-9 * num_kv_positions
        )


_OPTIONS = {
    "base_ms": "--step-base-ms",
    "prefill_us_per_token": "--prefill-us-per-token",
    "decode_us_per_row": "--decode-us-per-row",
    "kv_ns_per_token": "--kv-ns-per-token",
}
