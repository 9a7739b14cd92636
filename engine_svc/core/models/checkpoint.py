"""Reads the tensors of a checked checkpoint from its mapped files, group by group."""

from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack
from functools import partial
from typing import Self

import torch
from safetensors import safe_open
from torch import Tensor

from engine_svc.core.errors import StartupError
from engine_svc.core.models.family import Family
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.safetensors_files import WeightFiles

Progress = Callable[[str, int, int], None]
"""Takes stage, bytes done and bytes in all."""

STAGE = "loading weights"


class Checkpoint:
    """The checkpoint's tensors, in groups that FMS's conversion needs together."""

    def __init__(self, *, family: Family, geometry: Geometry, weights: WeightFiles) -> None:
        self._family = family
        self._is_tied = geometry.has_tied_embeddings
        self._weights = weights
        self._names = family.tensors(geometry)
        self._stack = ExitStack()
        self._readers: dict[str, Callable[[], Tensor]] = {}

    def __enter__(self) -> Self:
        try:
            for file in self._weights.files:
                handle = self._stack.enter_context(
                    safe_open(file.path, framework="pt", device="cpu")
                )
                for name, entry in file.tensors.items():
                    self._readers[name] = partial(handle.get_tensor, entry.name)
            if self._is_tied:
                _check_tied_head(self._family, self._readers)
        except BaseException:
            self._stack.close()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        self._readers.clear()
        self._stack.close()

    def groups(self, progress: Progress) -> Iterator[dict[str, Tensor]]:
        """First what belongs to no layer, then layer after layer; read as they are asked for."""
        names: dict[str, list[str]] = {}
        for name in self._names:
            names.setdefault(self._group(name), []).append(name)
        total = sum(size.num_bytes for name, size in self._weights.tensors() if name in self._names)
        done = 0
        progress(STAGE, done, total)
        for members in names.values():
            group = {name: self._readers[name]() for name in members}
            yield group
            done += sum(tensor.nbytes for tensor in group.values())
            progress(STAGE, done, total)

    def _group(self, name: str) -> str:
        prefix = self._family.layer_prefix
        return name.removeprefix(prefix).partition(".")[0] if name.startswith(prefix) else ""


def _check_tied_head(family: Family, readers: Mapping[str, Callable[[], Tensor]]) -> None:
    """A tied checkpoint may repeat its embedding as the head, but not have another head."""
    if family.head not in readers:
        return
    head, embedding = (readers[name]() for name in (family.head, family.embedding))
    if not torch.equal(head, embedding):
        raise StartupError(
            f"tensor {family.head} differs from {family.embedding} although config.json says "
            "tie_word_embeddings: set it to false, or remove the tensor"
        )
