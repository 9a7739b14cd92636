"""Puts texts of any lengths side by side, as an encoder of FMS takes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from engine_svc.core.models.geometry import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderInputs:
    """A batch of texts, padded behind their ends to the longest."""

    token_ids: Tensor
    """[texts, longest], int64."""
    position_ids: Tensor
    """[texts, longest], int64: rows of the table of positions."""
    token_type_ids: Tensor | None
    """[texts, longest], int64; None: tokens have no types."""
    mask: Tensor
    """[texts, 1, longest], True = may be attended to."""

    # Keyword arguments of FMS's untyped models.
    def arguments(self) -> dict[str, Any]:
        """What FMS's model takes beside the tokens."""
        arguments = {
            "position_ids": self.position_ids,
            "mask": self.mask,
            "attn_name": "sdpa_bidirectional",
        }
        types = self.token_type_ids
        return arguments if types is None else arguments | {"token_type_ids": types}


def encoder_inputs(
    texts: Sequence[Sequence[int]],
    encoder: Encoder,
    *,
    token_types: Sequence[Sequence[int]] | None = None,
) -> EncoderInputs:
    """Pad texts and say where each token stands.

    Args:
        texts: token ids, at least one text, none empty or longer than the geometry's `max_len`.
        encoder: what the model has beside layers.
        token_types: as long as the texts, below `num_token_types`; None: all 0.
    """
    token_ids = _padded(texts, encoder.pad_id)
    lengths = torch.tensor([len(text) for text in texts])
    mask = torch.arange(token_ids.shape[1]) < lengths[:, None]
    types = [[0] * len(text) for text in texts] if token_types is None else token_types
    return EncoderInputs(
        token_ids=token_ids,
        position_ids=_positions(token_ids, encoder),
        token_type_ids=_padded(types, 0) if encoder.num_token_types else None,
        mask=mask[:, None],
    )


def _padded(rows: Sequence[Sequence[int]], value: int) -> Tensor:
    return pad_sequence(
        [torch.tensor(row, dtype=torch.int64) for row in rows],
        batch_first=True,
        padding_value=value,
    )


def _positions(token_ids: Tensor, encoder: Encoder) -> Tensor:
    if encoder.padding_position is None:
        return torch.arange(token_ids.shape[1]).expand_as(token_ids)
    counts = token_ids != encoder.pad_id
    return counts.cumsum(1) * counts + encoder.padding_position
