"""What the command line says about requests, checked and with defaults filled in."""

from dataclasses import dataclass, fields
from pathlib import Path

from steeple_cli.planning.choices import option_name
from steeple_cli.planning.counts import checked_count, checked_rate
from steeple_cli.planning.errors import PlanRefused
from steeple_cli.planning.lengths import MAX_LENGTH, parse_lengths
from steeple_cli.planning.request_file import read_workload
from steeple_cli.planning.workload import Distribution, Workload, draw_workload

DEFAULT_NUM_REQUESTS = 100
DEFAULT_PROMPT_LENS = "256"
DEFAULT_OUTPUT_LENS = "64"
MAX_REQUESTS = 100_000


@dataclass(frozen=True, slots=True, kw_only=True)
class GivenWorkload:
    """Options as they were written; None = not given. Meanings: `steeple plan --help`."""

    requests_file: Path | None = None
    requests: int | None = None
    rate: float | None = None
    prompt_lens: str | None = None
    output_lens: str | None = None
    max_tokens: int | None = None
    seed: int | None = None

    def workload(self) -> Workload:
        """The requests of the file, or drawn ones.

        Raises:
            PlanRefused: both were given, or something is out of its bounds.
        """
        if self.requests_file is None:
            return draw_workload(self._distribution())
        others = [field.name for field in fields(self) if field.name != "requests_file"]
        for name in others:
            if getattr(self, name) is not None:
                raise PlanRefused(
                    f"{option_name(name)} is for drawn requests;"
                    f" --requests-file {self.requests_file} brings its own"
                )
        return read_workload(self.requests_file)

    def _distribution(self) -> Distribution:
        num_requests = DEFAULT_NUM_REQUESTS if self.requests is None else self.requests
        prompts = DEFAULT_PROMPT_LENS if self.prompt_lens is None else self.prompt_lens
        outputs = DEFAULT_OUTPUT_LENS if self.output_lens is None else self.output_lens
        most = self.max_tokens
        return Distribution(
            num_requests=checked_count("--requests", num_requests, most=MAX_REQUESTS),
            rate=None if self.rate is None else checked_rate("--rate", self.rate),
            prompt_lens=parse_lengths("--prompt-lens", prompts),
            output_lens=parse_lengths("--output-lens", outputs),
            max_tokens=(
                None if most is None else checked_count("--max-tokens", most, most=MAX_LENGTH)
            ),
            seed=self.seed or 0,
        )
