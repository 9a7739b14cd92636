"""Random numbers are those of the published generator, and a function of seed and counter only."""

import numpy as np
import pytest

from engine_svc.core.sampling.philox import Purpose, Words, philox4x32, uniforms


def words(text: str) -> Words:
    return np.array([[int(word, 16) for word in text.split()]], dtype=np.uint64)


@pytest.mark.parametrize(
    ("counter", "key", "answer"),
    [
        ("0 0 0 0", "0 0", "6627e8d5 e169c58d bc57ac4c 9b00dbd8"),
        (
            "ffffffff ffffffff ffffffff ffffffff",
            "ffffffff ffffffff",
            "408f276d 41c83b0e a20bc7c6 6d5451fd",
        ),
        (
            "243f6a88 85a308d3 13198a2e 03707344",
            "a4093822 299f31d0",
            "d16cfe09 94fdcceb 5001e420 24126ea1",
        ),
    ],
)
def test_the_published_answers_come_out(counter: str, key: str, answer: str) -> None:
    """The three known answers of the algorithm's authors."""
    assert philox4x32(words(counter), words(key)).tolist() == words(answer).tolist()


def numbers(seeds: list[int], positions: list[int], outputs: list[int]) -> list[float]:
    as_words = (np.array(values, dtype=np.uint64) for values in (seeds, positions, outputs))
    seed_words, position_words, output_words = as_words
    drawn = uniforms(
        seed_words, positions=position_words, output_indices=output_words, purpose=Purpose.TOKEN
    )
    return [float(number) for number in drawn]


def test_the_first_number_of_seed_zero_is_pinned() -> None:
    """The upper 53 bits of the first two words, and a half: a change would break every seed."""
    bits = 0x6627E8D5E169C58D >> 11
    assert numbers([0], [0], [0]) == [(bits + 0.5) / 2**53]


def test_each_row_is_what_it_is_alone() -> None:
    """Seeds, positions and outputs side by side do not touch each other."""
    seeds, positions, outputs = [0, 2**64 - 1, 7, 7, 7], [0, 5, 5, 6, 5], [0, 3, 0, 0, 1]
    together = numbers(seeds, positions, outputs)
    alone = [
        numbers([seed], [position], [output])[0]
        for seed, position, output in zip(seeds, positions, outputs, strict=True)
    ]
    assert together == alone
    assert len(set(together)) == 5


def test_both_halves_of_the_seed_count() -> None:
    """A 64-bit seed is not cut to 32 bits."""
    assert len(set(numbers([1, 1 << 32, (1 << 32) + 1], [0, 0, 0], [0, 0, 0]))) == 3


def test_numbers_are_uniform() -> None:
    """Chi-square over 64 cells, 20,000 positions of one seed: below the 99.9 % quantile of 63."""
    drawn = numbers([42] * 20_000, list(range(20_000)), [0] * 20_000)
    counts = np.bincount((np.array(drawn) * 64).astype(int), minlength=64)
    expected = 20_000 / 64
    assert ((counts - expected) ** 2 / expected).sum() < 103.4
    assert min(drawn) > 0.0
    assert max(drawn) < 1.0
