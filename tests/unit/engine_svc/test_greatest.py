"""The n-th greatest number, and what is left out before anything is ordered."""

import numpy as np
import pytest

from engine_svc.core.sampling.greatest import nth_greatest

LENGTHS, NUMBERS = (1, 63, 64, 65, 1000, 5000), (1, 2, 7, 63, 64, 999, 5000)


@pytest.mark.parametrize(
    ("length", "number"), [(length, n) for length in LENGTHS for n in NUMBERS if n <= length]
)
def test_it_is_what_sorting_finds(length: int, number: int) -> None:
    """Few and many, with and without equals, and with numbers that stand for nothing."""
    draw = np.random.default_rng(length * number)
    for values in (
        draw.normal(size=length),
        draw.integers(0, 5, length).astype(np.float64),
        np.where(draw.random(length) < 0.99, -np.inf, 1.0),
        np.zeros(length),
    ):
        assert nth_greatest(values, number) == np.sort(values)[-number]
        single = values.astype(np.float32)
        assert nth_greatest(single, number) == np.sort(single)[-number]
