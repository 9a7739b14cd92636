"""RoBERTa and XLM-RoBERTa, which differ by their names: positions begin behind the padding's."""

from collections.abc import Mapping
from dataclasses import replace

from engine_svc.core.models.config_fields import Field, mend, only, refuse, serve
from engine_svc.core.models.config_values import Json, fail
from engine_svc.core.models.encoder_body import Body, encoder_family
from engine_svc.core.models.encoder_config import ENCODING, encoder_of, read_encoder
from engine_svc.core.models.encoder_heads import (
    POOLED,
    QUESTION_ANSWERING,
    classification,
    masked_lm,
)
from engine_svc.core.models.geometry import Geometry


def _read(config: Json) -> Geometry:
    return behind_padding(read_encoder(config, pad_id=1))


def behind_padding(geometry: Geometry) -> Geometry:
    """The same with positions that begin behind the padding's.

    Raises:
        StartupError: no position is left.
    """
    encoder = encoder_of(geometry)
    settled = replace(geometry, encoder=replace(encoder, padding_position=encoder.pad_id))
    if settled.max_len < 1:
        fail("max_position_embeddings", geometry.max_position_embeddings, "exceed the padding's")
    return settled


_FIELDS: Mapping[str, Field] = (
    dict(ENCODING)
    | serve("type_vocab_size")
    | mend("max_position_embeddings", "all rows are kept; FMS drops two, whatever the padding is")
    | mend("pad_token_id", "positions begin behind it, and padding has one too")
    | mend("tie_word_embeddings", "untied, the bias of the decoder is the one that counts")
    | refuse("hidden_act", "gelu is computed, as in the head", only(("gelu",)))
    | refuse("position_embedding_type", "positions are absolute", only((None, "absolute")))
)
_PREFIX = "roberta."
_MASKED = masked_lm(
    dense="lm_head.dense", norm="lm_head.layer_norm", decoder="lm_head.decoder", bias="lm_head.bias"
)
_CLASSES = classification(dense="classifier.dense", out="classifier.out_proj")
_ROBERTA = Body(model_type="roberta", fields=_FIELDS, read=_read)
_XLM_ROBERTA = Body(model_type="xlm-roberta", fields=_FIELDS, read=_read)

ROBERTA = (
    encoder_family("RobertaForMaskedLM", _ROBERTA, _MASKED, prefix=_PREFIX),
    encoder_family("RobertaForQuestionAnswering", _ROBERTA, QUESTION_ANSWERING, prefix=_PREFIX),
    encoder_family("RobertaForSequenceClassification", _ROBERTA, _CLASSES, prefix=_PREFIX),
    encoder_family("RobertaModel", _ROBERTA, POOLED, prefix=""),
)
XLM_ROBERTA = (
    encoder_family("XLMRobertaForMaskedLM", _XLM_ROBERTA, _MASKED, prefix=_PREFIX),
    encoder_family("XLMRobertaForSequenceClassification", _XLM_ROBERTA, _CLASSES, prefix=_PREFIX),
    encoder_family("XLMRobertaModel", _XLM_ROBERTA, POOLED, prefix=""),
)
