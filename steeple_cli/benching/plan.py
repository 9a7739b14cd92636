"""What is to be measured."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import chain

from steeple_cli.benching.extent import Extent
from steeple_cli.benching.prompts import DrawnPrompts, GivenPrompts, Prompt, Prompts
from steeple_cli.benching.report import Asking
from steeple_cli.benching.requests import requests_of
from steeple_cli.benching.shapes import Shape
from steeple_cli.load.figures import LatencyBound
from steeple_cli.load.history import LoadRequest
from steeple_cli.planning.lengths import Lengths
from steeple_client import GenerateOptions, Model


@dataclass(frozen=True, slots=True, kw_only=True)
class BenchPlan:
    """A sweep: the same requests in each of its shapes."""

    shapes: Sequence[Shape]
    """At least one; one after the other."""
    extent: Extent
    """Of each."""
    bound: LatencyBound | None
    given_prompts: Sequence[tuple[Prompt, int | None]]
    """Empty = drawn ones."""
    prompt_lens: Lengths
    output_lens: Lengths
    options: GenerateOptions
    asking: Asking

    def requests(self, model: Model, salt: str) -> Iterator[LoadRequest]:
        """What is sent to a model, without end; `salt` is this point's alone.

        Raises:
            SettingRefused: the first one already finds no room in the model's context.
        """
        requests = requests_of(
            self._prompts(model), self.options, salt=salt, is_cache_used=self.asking.is_cache_used
        )
        return chain([next(requests)], requests)

    def _prompts(self, model: Model) -> Prompts:
        seed = self.asking.seed
        if self.given_prompts:
            return GivenPrompts(self.given_prompts, self.output_lens, seed)
        return DrawnPrompts(
            prompt_lens=self.prompt_lens,
            output_lens=self.output_lens,
            max_model_len=model.max_model_len,
            vocab_size=model.vocab_size,
            num_shared=self.asking.num_shared,
            seed=seed,
        )
