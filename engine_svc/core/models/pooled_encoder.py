"""The maker's plain encoder: FMS's layers, and a pooler that FMS does not have."""

from typing import Any

import torch
from fms.distributed.strategy import NoOpStrategy
from fms.models.roberta import RoBERTaHeadless
from torch import Tensor, nn


class PooledEncoder(nn.Module):
    """FMS's layers with the pooler of the maker's plain model, which FMS does not have."""

    # FMS's configurations are untyped.
    def __init__(self, config: Any) -> None:
        super().__init__()
        self.base_model = RoBERTaHeadless(config, NoOpStrategy)
        self.pooler = nn.Linear(config.emb_dim, config.emb_dim)

    # What FMS's layers take.
    def forward(self, token_ids: Tensor, **arguments: Any) -> tuple[Tensor, Tensor]:
        """The hidden states [texts, longest, hidden_size] and the pooled ones [texts, hidden_size].

        The pooler reads the first token of every text: padding stands behind.
        """
        hidden = self.base_model(token_ids, **arguments)
        return hidden, torch.tanh(self.pooler(hidden[:, 0]))
