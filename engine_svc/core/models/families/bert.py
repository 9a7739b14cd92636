"""BERT: positions from 0, padding counted like any other token."""

from functools import partial

from engine_svc.core.models.config_fields import mend, only, refuse, serve
from engine_svc.core.models.encoder_body import Body, encoder_family
from engine_svc.core.models.encoder_config import ENCODING, read_encoder
from engine_svc.core.models.encoder_heads import POOLED, classification, masked_lm

_BODY = Body(
    model_type="bert",
    fields=dict(ENCODING)
    | serve("type_vocab_size")
    | mend("tie_word_embeddings", "untied, the bias of the decoder is the one that counts")
    | refuse("position_embedding_type", "positions are absolute", only((None, "absolute"))),
    read=partial(read_encoder, pad_id=0),
)
_MASKED = masked_lm(
    dense="cls.predictions.transform.dense",
    norm="cls.predictions.transform.LayerNorm",
    decoder="cls.predictions.decoder",
    bias="cls.predictions.bias",
    # Of the other half of the pre-training.
    unread={"cls.seq_relationship": 2},
)
_CLASSES = classification(dense="bert.pooler.dense", out="classifier")

BERT = (
    encoder_family("BertForMaskedLM", _BODY, _MASKED, prefix="bert."),
    encoder_family("BertForSequenceClassification", _BODY, _CLASSES, prefix="bert."),
    encoder_family("BertModel", _BODY, POOLED, prefix=""),
)
