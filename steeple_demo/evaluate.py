"""Measure how often greedy decoding gives exactly the right answer.

Run `python -m steeple_demo.evaluate [DIR]`. A conversation counts as right only when every
answer in it, with the end-of-text token after it, is what greedy decoding produces.
"""

import argparse
import os
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # read once, when torch is loaded

import torch
from tokenizers import Tokenizer
from transformers import GraniteForCausalLM

from steeple_demo import model_dir
from steeple_demo.batches import IGNORED, Sample, encode
from steeple_demo.cases import Bucket, Case, all_cases

__all__ = ["Score", "are_exact", "evaluate", "main", "tables"]

_BATCH_SIZE: Final = 256
_CHUNK_SIZE: Final = 64 * _BATCH_SIZE
_NUM_THREADS: Final = 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """How many cases of one bucket were right."""

    num_right: int
    num_cases: int

    def __str__(self) -> str:
        """Show the percentage, rounded down so that 100 means every case."""
        hundredths = 10_000 * self.num_right // self.num_cases
        return f"{hundredths / 100:.2f} % of {self.num_cases}"


def are_exact(model: GraniteForCausalLM, samples: Sequence[Sample]) -> list[bool]:
    """Tell for each sample whether greedy decoding produces all its answers.

    One forward pass over the right answers decides it: greedy decoding follows them
    exactly when each of their tokens is the most likely one after those before it.
    """
    longest = max(len(sample) for sample in samples)
    token_ids = torch.zeros(len(samples), longest, dtype=torch.long)  # causal: any padding does
    targets = torch.full_like(token_ids, IGNORED)
    for row, sample in enumerate(samples):
        token_ids[row, : len(sample)] = torch.tensor(sample.token_ids)
        targets[row, : len(sample)] = torch.tensor(sample.targets)
    with torch.inference_mode():
        best = model(input_ids=token_ids, use_cache=False).logits.argmax(dim=-1)
    is_right = (best == targets) | (targets == IGNORED)  # [num_samples, longest]
    return [bool(flag) for flag in is_right.all(dim=1)]


def evaluate(
    model: GraniteForCausalLM, *, tokenizer: Tokenizer, cases: Iterable[Case]
) -> dict[Bucket, Score]:
    """Judge every case and count by bucket, in the order in which buckets first appear."""
    num_right: Counter[Bucket] = Counter()
    num_cases: Counter[Bucket] = Counter()
    for chunk in _chunks(cases):
        samples = [encode(case.conversation, tokenizer=tokenizer) for case in chunk]
        for case, is_right in zip(chunk, _judge(model, samples), strict=True):
            num_cases[case.bucket] += 1
            num_right[case.bucket] += is_right
    return {
        bucket: Score(num_right=num_right[bucket], num_cases=count)
        for bucket, count in num_cases.items()
    }


def tables(scores: Mapping[Bucket, Score]) -> str:
    """Write the scores as Markdown tables, one for each `Bucket.table`."""
    names = dict.fromkeys(bucket.table for bucket in scores)
    return "\n\n".join(_table(name, scores=scores) for name in names)


def main() -> None:
    """Print the accuracy tables of the model directory on the command line."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("directory", type=Path, nargs="?", default=model_dir())
    parser.add_argument("--every", type=int, default=1, help="judge only every n-th case")
    arguments = parser.parse_args()
    torch.set_num_threads(_NUM_THREADS)
    model = GraniteForCausalLM.from_pretrained(arguments.directory)
    tokenizer = Tokenizer.from_file(str(arguments.directory / "tokenizer.json"))
    scores = evaluate(model, tokenizer=tokenizer, cases=all_cases(every=arguments.every))
    print(tables(scores))  # noqa: T201 - what the command is for


def _chunks(cases: Iterable[Case]) -> Iterator[list[Case]]:
    remaining = iter(cases)
    while chunk := list(islice(remaining, _CHUNK_SIZE)):
        yield chunk


def _judge(model: GraniteForCausalLM, samples: Sequence[Sample]) -> list[bool]:
    """Judge in batches of about equal length, answer in the order of the samples."""
    by_length = sorted(range(len(samples)), key=lambda idx: len(samples[idx]))
    verdicts = [False] * len(samples)
    for start in range(0, len(samples), _BATCH_SIZE):
        batch_idxs = by_length[start : start + _BATCH_SIZE]
        exact = are_exact(model, [samples[idx] for idx in batch_idxs])
        for idx, is_right in zip(batch_idxs, exact, strict=True):
            verdicts[idx] = is_right
    return verdicts


def _table(name: str, *, scores: Mapping[Bucket, Score]) -> str:
    inside = [bucket for bucket in scores if bucket.table == name]
    rows = dict.fromkeys(bucket.row for bucket in inside)
    columns = sorted({bucket.column for bucket in inside})
    lines = [f"| {name} | {' | '.join(columns)} |", "|---" * (1 + len(columns)) + "|"]
    for row in rows:
        cells = [scores.get(Bucket(table=name, row=row, column=column)) for column in columns]
        lines.append(f"| {row} | {' | '.join(str(cell or '') for cell in cells)} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
