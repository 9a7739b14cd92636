"""Say what a training run does, step by step, without doing it."""

import math
from dataclasses import dataclass

__all__ = ["TrainingPlan"]


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainingPlan:
    """Everything that decides the outcome of a training run.

    The first `num_equation_steps` show bare equations only. A model that can already add
    learns the phrasings in a fraction of the steps that both together would take.
    """

    num_steps: int
    seed: int
    num_equation_steps: int = 800
    num_polish_steps: int = 1200
    """Then, with a fresh optimizer, as many steps on what is rare and hard."""
    peak_polish_rate: float = 1.5e-3
    num_rows: int = 32
    row_len: int = 128
    peak_learning_rate: float = 3e-3
    num_warmup_steps: int = 100
    weight_decay: float = 0.01
    max_gradient_norm: float = 1.0

    def learning_rate(self, step: int) -> float:
        """Rise linearly to the peak, and fall to zero along half a cosine."""
        return self.peak_learning_rate * self._share(step, of=self.num_steps)

    def polish_learning_rate(self, step: int) -> float:
        """The same shape for the polish."""
        return self.peak_polish_rate * self._share(step, of=self.num_polish_steps)

    def _share(self, step: int, *, of: int) -> float:
        warmth = min(1.0, (step + 1) / self.num_warmup_steps)
        return warmth * 0.5 * (1 + math.cos(math.pi * step / of))
