"""The rows of the walk that are encoders: tiny configurations, and what becomes of them."""

from tests.support.truth_cases import VOCAB_SIZE, Fields, TruthCase

PAD_ID = 1
_SHAPE: Fields = {
    "vocab_size": VOCAB_SIZE,
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 66,
    "pad_token_id": PAD_ID,
}
_TYPED: Fields = _SHAPE | {"type_vocab_size": 2}
_UNTIED: Fields = {"tie_word_embeddings": False}
_THREE: Fields = {"num_labels": 3}
_VARIANTS: dict[str, dict[str, Fields]] = {
    "BertForMaskedLM": {
        "tied": {},
        "untied": _UNTIED,
        "relu": {"hidden_act": "relu"},
        "gelu-tanh": {"hidden_act": "gelu_pytorch_tanh"},
        "padding-0": {"pad_token_id": 0},
    },
    "BertForSequenceClassification": {"two": {}, "three": _THREE, "one": {"num_labels": 1}},
    "BertModel": {"plain": {}, "one-type": {"type_vocab_size": 1}},
    "RobertaForMaskedLM": {
        "tied": {},
        "untied": _UNTIED,
        "padding-0": {"pad_token_id": 0},
        "padding-5": {"pad_token_id": 5},
    },
    "RobertaForQuestionAnswering": {"plain": {}},
    "RobertaForSequenceClassification": {"two": {}, "three": _THREE},
    "RobertaModel": {
        "plain": {},
        "one-type": {"type_vocab_size": 1},
        "padding-5": {"pad_token_id": 5},
    },
    "XLMRobertaForMaskedLM": {"tied": {}, "untied": _UNTIED},
    "XLMRobertaForSequenceClassification": {"reranker": {"num_labels": 1}, "three": _THREE},
    "XLMRobertaModel": {"plain": {}},
    # Distances beyond 128 all fall into the last kind.
    "MPNetModel": {"plain": {}, "far": {"max_position_embeddings": 302}},
}

ENCODERS = tuple(
    TruthCase(
        name=f"{model_class}-{name}",
        model_class=model_class,
        config=(_SHAPE if model_class.startswith("MPNet") else _TYPED) | change,
    )
    for model_class, variants in _VARIANTS.items()
    for name, change in variants.items()
)
"""The architectures that are loaded, in the variants where FMS alone is wrong, or could be."""

_REFUSED: dict[str, tuple[str, str, Fields]] = {
    "activation": ("BertModel", "hidden_act = 'silu'", {"hidden_act": "silu"}),
    "head's activation": ("RobertaForMaskedLM", "hidden_act = 'relu'", {"hidden_act": "relu"}),
    "three ends": ("RobertaForQuestionAnswering", "num_labels = 3", _THREE),
    "decoder": ("RobertaModel", "is_decoder = True", {"is_decoder": True}),
    "second text": (
        "BertModel",
        "add_cross_attention = True",
        {"is_decoder": True, "add_cross_attention": True},
    ),
    "buckets": (
        "MPNetModel",
        "relative_attention_num_buckets = 64",
        {"relative_attention_num_buckets": 64},
    ),
    "padding": ("MPNetModel", "pad_token_id = 0", {"pad_token_id": 0}),
    "no position": (
        "RobertaModel",
        "max_position_embeddings = 66",
        {"pad_token_id": 65},
    ),
}

REFUSED_ENCODERS = tuple(
    TruthCase(name=name, model_class=model_class, config=_TYPED | change, refused=refused)
    for name, (model_class, refused, change) in _REFUSED.items()
)
"""Variants that would be computed wrongly."""
