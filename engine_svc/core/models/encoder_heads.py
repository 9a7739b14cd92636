"""What an encoder has behind its layers: names in the checkpoint, names in FMS, and FMS's model."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from engine_svc.core.models.config_values import Json, fail, flag
from engine_svc.core.models.encoder_config import encoder_of
from engine_svc.core.models.family import Shape, nothing_spare
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.weights_layout import linears

if TYPE_CHECKING:
    from torch import nn

Renamed = dict[str, tuple[str, Shape]]
"""Tensors of the checkpoint: their names in FMS's model, and their shapes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Head:
    """One kind of head, in the words of one kind of checkpoint."""

    model: "Callable[[Any], nn.Module]"
    """Makes FMS's model, or ours around FMS's, of FMS's untyped configuration."""
    tensors: Callable[[Geometry], Renamed]
    spare: Callable[[Geometry], dict[str, Shape]] = nothing_spare
    decoder: str = ""
    """The tensor that a tied checkpoint may repeat the embedding as."""
    settle: Callable[[Json, Geometry], Geometry] = lambda _, geometry: geometry
    """Reads what concerns the head alone. Raises StartupError."""


def _of_fms(name: str) -> "Callable[[Any], nn.Module]":
    """One of FMS's own, by its class."""

    def make(config: Any) -> "nn.Module":  # FMS's configurations are untyped
        from fms.models import roberta

        model: nn.Module = getattr(roberta, name)(config)
        return model

    return make


def _pooled(config: Any) -> "nn.Module":  # likewise
    from engine_svc.core.models.pooled_encoder import PooledEncoder

    return PooledEncoder(config)


def masked_lm(
    *, dense: str, norm: str, decoder: str, bias: str, unread: Mapping[str, int] | None = None
) -> Head:
    """Logits over the vocabulary for every token, [texts, longest, vocab].

    The decoder's bias has two names. Untied, transformers computes with the decoder's own and
    never reads the other; tied, with the other. FMS maps both to one parameter, and which comes
    last depends on Python's hash seed: here one of the two is converted.

    Args:
        dense: the layer before the norm.
        norm: before the decoder.
        decoder: from hidden states to the vocabulary.
        bias: the other name of the decoder's bias.
        unread: further linear layers that a checkpoint may hold, and how wide they are.
    """

    def tensors(geometry: Geometry) -> Renamed:
        width, vocab = geometry.hidden_size, geometry.vocab_size
        found = linear(dense, "classification_head.dense", (width, width))
        found |= linear(norm, "classification_head.ln", (width,))
        if geometry.has_tied_embeddings:
            return found | {bias: ("classification_head.head.bias", (vocab,))}
        return found | linear(decoder, "classification_head.head", (vocab, width))

    def spare(geometry: Geometry) -> dict[str, Shape]:
        other = f"{decoder}.bias" if geometry.has_tied_embeddings else bias
        shapes: dict[str, Shape] = {other: (geometry.vocab_size,)}
        rows: dict[str, Shape] = {
            name: (width, geometry.hidden_size) for name, width in (unread or {}).items()
        }
        return shapes | linears(rows, has_bias=True)

    return Head(
        model=_of_fms("RoBERTa"),
        tensors=tensors,
        spare=spare,
        decoder=f"{decoder}.weight",
        settle=_tied,
    )


def classification(*, dense: str, out: str) -> Head:
    """Logits over the labels, [texts, num_labels], from every text's first token."""

    def tensors(geometry: Geometry) -> Renamed:
        width, num_labels = geometry.hidden_size, encoder_of(geometry).num_labels
        return linear(dense, "classification_head.dense", (width, width)) | linear(
            out, "classification_head.head", (num_labels, width)
        )

    return Head(model=_of_fms("RoBERTaForClassification"), tensors=tensors)


def linear(name: str, fms: str, shape: Shape) -> Renamed:
    """Weight and bias of a linear layer or a norm."""
    return {f"{name}.weight": (f"{fms}.weight", shape), f"{name}.bias": (f"{fms}.bias", shape[:1])}


def _tied(config: Json, geometry: Geometry) -> Geometry:
    return replace(geometry, has_tied_embeddings=flag(config, "tie_word_embeddings", default=True))


def _two_labels(_: Json, geometry: Geometry) -> Geometry:
    if (num_labels := encoder_of(geometry).num_labels) != len(("start", "end")):
        fail("num_labels", num_labels, "be 2, of an answer's start and end")
    return geometry


POOLED = Head(
    model=_pooled,
    tensors=lambda geometry: linear("pooler.dense", "pooler", (geometry.hidden_size,) * 2),
)
"""The hidden state of every token, and one for the text."""

QUESTION_ANSWERING = Head(
    model=_of_fms("RoBERTaForQuestionAnswering"),
    tensors=lambda geometry: linear("qa_outputs", "qa_head", (2, geometry.hidden_size)),
    settle=_two_labels,
)
"""Logits [texts, longest] of the answer's start, and of its end."""
