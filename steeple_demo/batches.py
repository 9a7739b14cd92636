"""Pack tokenized conversations into rows of one fixed length.

Packed conversations never see each other: the mask is causal inside each one.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import torch
from tokenizers import Tokenizer
from torch import Tensor

from steeple_demo.chat_format import segments
from steeple_demo.corpus import Conversation

__all__ = ["IGNORED", "Batch", "Sample", "batches", "encode"]

IGNORED: Final = -100
"""The target of a position that is not learned, as `cross_entropy` expects it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Sample:
    """One tokenized conversation; `targets` is `IGNORED` outside of the answers."""

    token_ids: list[int]
    targets: list[int]

    def __len__(self) -> int:
        """Count the tokens."""
        return len(self.token_ids)


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """One training step's input; all but the mask are [num_rows, row_len].

    `attention_mask` is [num_rows, 1, row_len, row_len], True = may attend.
    """

    token_ids: Tensor
    targets: Tensor
    position_ids: Tensor
    attention_mask: Tensor


def encode(conversation: Conversation, *, tokenizer: Tokenizer) -> Sample:
    """Tokenize segment by segment; the target of a position is the token after it."""
    token_ids: list[int] = []
    learned: list[int] = []
    for segment in segments(conversation):
        segment_ids = tokenizer.encode(segment.text).ids
        token_ids += segment_ids
        learned += segment_ids if segment.is_learned else [IGNORED] * len(segment_ids)
    return Sample(token_ids=token_ids, targets=[*learned[1:], IGNORED])


def batches(samples: Iterator[Sample], *, num_rows: int, row_len: int) -> Iterator[Batch]:
    """Yield full batches without end; a sample longer than a row is left out."""
    fitting = (sample for sample in samples if len(sample) <= row_len)
    packed = _pack(fitting, row_len=row_len)
    while True:
        rows = [_tensors(next(packed), row_len=row_len) for _ in range(num_rows)]
        yield _batch(torch.stack(rows))


def _pack(samples: Iterator[Sample], *, row_len: int) -> Iterator[list[Sample]]:
    row: list[Sample] = []
    room = row_len
    for sample in samples:
        if len(sample) > room:
            yield row
            row, room = [], row_len
        row.append(sample)
        room -= len(sample)


def _tensors(row: list[Sample], *, row_len: int) -> Tensor:
    """Stack the ids, targets, positions and owners of one row: [4, row_len].

    The padding belongs to no sample, so its owner is -1.
    """
    columns = [
        (token_id, target, position, owner)
        for owner, sample in enumerate(row)
        for position, (token_id, target) in enumerate(
            zip(sample.token_ids, sample.targets, strict=True)
        )
    ]
    columns += [(0, IGNORED, 0, -1)] * (row_len - len(columns))
    return torch.tensor(columns).T


def _batch(rows: Tensor) -> Batch:
    token_ids, targets, position_ids, owners = rows.unbind(dim=1)  # each [num_rows, row_len]
    same_owner = owners[:, :, None] == owners[:, None, :]
    return Batch(
        token_ids=token_ids,
        targets=targets,
        position_ids=position_ids,
        attention_mask=same_owner.tril()[:, None],
    )
