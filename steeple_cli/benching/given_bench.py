"""What the command line says about a bench, checked and with defaults filled in."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path
from typing import TypeVar

from steeple_cli.benching.extent import Extent
from steeple_cli.benching.plan import BenchPlan
from steeple_cli.benching.prompt_file import read_prompts
from steeple_cli.benching.prompts import Prompt
from steeple_cli.benching.report import Asking
from steeple_cli.benching.shapes import ClosedShape, OpenShape, Shape
from steeple_cli.load.arrivals import ARRIVALS
from steeple_cli.load.figures import LatencyBound
from steeple_cli.planning.counts import checked_count, checked_rate
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.lengths import MAX_LENGTH, parse_lengths
from steeple_client import GenerateOptions
from steeple_rpc.refused import SettingRefused

DEFAULT_CONCURRENCY = "1,4,16"
DEFAULT_DURATION_S = 10.0
DEFAULT_PROMPT_LENS = "256"
DEFAULT_OUTPUT_LENS = "64"
DEFAULT_ARRIVALS = "poisson"
MAX_CALLERS = 10_000
MAX_CONNECTIONS = 100
_Level = TypeVar("_Level", int, float)


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenBench:
    """Options as they were written; None = not given. Meanings: `steeple bench --help`."""

    concurrency: str | None = None
    rate: str | None = None
    arrivals: str | None = None
    duration: float | None = None
    requests: int | None = None
    warm_up: int | None = None
    connections: int = 1
    prompt_lens: str | None = None
    output_lens: str = DEFAULT_OUTPUT_LENS
    prompts: Path | None = None
    shared_prefix: int = 0
    prefix_cache: bool = False
    ignore_eos: bool = True
    temperature: float = 0.0
    model: str | None = None
    timeout: float = 300.0
    seed: int = 0
    ttft_bound: float | None = None
    itl_bound: float | None = None

    def plan(self) -> BenchPlan:
        """What is to be measured.

        Raises:
            SettingRefused: options do not go together, or one is out of its bounds.
        """
        try:
            return self._plan()
        except PlanRefused as error:
            raise SettingRefused(str(error)) from None

    def _plan(self) -> BenchPlan:
        self._check_parts()
        extent = self._extent()
        return BenchPlan(
            shapes=self._shapes(),
            extent=extent,
            bound=self._bound(),
            given_prompts=self._given_prompts(),
            prompt_lens=parse_lengths("--prompt-lens", self.prompt_lens or DEFAULT_PROMPT_LENS),
            output_lens=parse_lengths("--output-lens", self.output_lens),
            options=self._options(),
            asking=self._asking(extent),
        )

    def _check_parts(self) -> None:
        """Refuse pairs of options that contradict each other."""
        pairs = (
            ("--concurrency", self.concurrency, "--rate", self.rate),
            ("--requests", self.requests, "--duration", self.duration),
            ("--prompts", self.prompts, "--prompt-lens", self.prompt_lens),
            ("--prompts", self.prompts, "--shared-prefix", self.shared_prefix or None),
        )
        for one, given, other, also_given in pairs:
            if given is not None and also_given is not None:
                raise SettingRefused(f"{one} and {other} exclude each other: give one of them")
        if self.arrivals is not None and self.rate is None:
            raise SettingRefused("--arrivals is for an open loop: give --rate too")

    def _shapes(self) -> tuple[Shape, ...]:
        if self.rate is not None:
            arrivals = self._arrivals()
            rates = _levels("--rate", self.rate, float, checked_rate)
            return tuple(OpenShape(rate=r, arrivals=arrivals, seed=self.seed) for r in rates)
        given = self.concurrency or DEFAULT_CONCURRENCY
        numbers = _levels("--concurrency", given, int, _checked_callers)
        return tuple(ClosedShape(num_callers=number) for number in numbers)

    def _arrivals(self) -> str:
        name = self.arrivals or DEFAULT_ARRIVALS
        if name not in ARRIVALS:
            raise SettingRefused(f"--arrivals is {' or '.join(ARRIVALS)}; it is {name!r}")
        return name

    def _extent(self) -> Extent:
        if self.requests is not None:
            checked_count("--requests", self.requests)
        if self.warm_up is not None and self.warm_up < 0:
            raise SettingRefused(f"--warm-up is 0 or more; it is {self.warm_up}")
        is_timed = self.requests is None
        given_s = DEFAULT_DURATION_S if self.duration is None else self.duration
        return Extent(
            num_requests=self.requests,
            duration_s=_checked_seconds("--duration", given_s) if is_timed else None,
            num_warm_up=self.warm_up,
        )

    def _bound(self) -> LatencyBound | None:
        if self.ttft_bound is None and self.itl_bound is None:
            return None
        for option, bound in (("--ttft-bound", self.ttft_bound), ("--itl-bound", self.itl_bound)):
            if bound is not None:
                _checked_seconds(option, bound)
        return LatencyBound(ttft_s=self.ttft_bound, itl_s=self.itl_bound)

    def _given_prompts(self) -> Sequence[tuple[Prompt, int | None]]:
        return () if self.prompts is None else read_prompts(self.prompts)

    def _options(self) -> GenerateOptions:
        options = GenerateOptions(
            ignore_eos=self.ignore_eos,
            temperature=self.temperature,
            timeout_s=_checked_seconds("--timeout", self.timeout),
        )
        return options if self.model is None else {**options, "model": self.model}

    def _asking(self, extent: Extent) -> Asking:
        lens = self.prompt_lens or DEFAULT_PROMPT_LENS
        if self.shared_prefix:
            checked_count("--shared-prefix", self.shared_prefix, most=MAX_LENGTH)
        return Asking(
            arrivals="closed" if self.rate is None else self._arrivals(),
            prompts=lens if self.prompts is None else self.prompts.name,
            output_lens=self.output_lens,
            num_shared=self.shared_prefix,
            is_cache_used=self.prefix_cache or self.shared_prefix > 0,
            ignore_eos=self.ignore_eos,
            temperature=self.temperature,
            num_requests=extent.num_requests,
            duration_s=extent.duration_s,
            num_connections=checked_count("--connections", self.connections, most=MAX_CONNECTIONS),
            seed=self.seed,
        )


def _levels(
    option: str,
    text: str,
    read: Callable[[str], _Level],
    checked: Callable[[str, _Level], _Level],
) -> list[_Level]:
    """Numbers with commas between them, each once."""
    try:
        levels = [read(part) for part in text.split(",")]
    except ValueError:
        raise SettingRefused(
            f"{option} must be a number, or some with commas between them; it is {text!r}"
        ) from None
    if len(set(levels)) < len(levels):
        raise SettingRefused(f"{option} names a number twice: {text!r}")
    return [checked(option, level) for level in levels]


def _checked_callers(option: str, number: int) -> int:
    return checked_count(option, number, most=MAX_CALLERS)


def _checked_seconds(option: str, seconds: float) -> float:
    if not 0 < seconds < inf:
        raise SettingRefused(f"{option} is a number of seconds above 0; it is {seconds:g}")
    return seconds
