"""An encoder's configuration is read whole, as a decoder's is."""

import json
from pathlib import Path
from typing import Any

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_check import read_geometry
from engine_svc.core.models.description import read_description
from engine_svc.core.models.family import Task
from engine_svc.core.models.geometry import Encoder, Geometry

# A JSON object, as in config.json.
Config = dict[str, Any]

BERT: Config = {
    "architectures": ["BertForSequenceClassification"],
    "model_type": "bert",
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "max_position_embeddings": 66,
    "vocab_size": 97,
}
RERANKER: Config = BERT | {
    "architectures": ["XLMRobertaForSequenceClassification"],
    "model_type": "xlm-roberta",
    "id2label": {"0": "LABEL_0"},
    "label2id": {"LABEL_0": 0},
    "pad_token_id": 3,
    "type_vocab_size": 1,
    "output_past": True,
    "position_embedding_type": "absolute",
}


def geometry_of(tmp_path: Path, config: Config, task: Task = Task.ENCODER) -> Geometry:
    (tmp_path / "config.json").write_text(json.dumps(config))
    return read_geometry(read_description(tmp_path), task)[1]


def test_a_plain_config_has_the_defaults_of_transformers(tmp_path: Path) -> None:
    """Fields that old checkpoints leave out."""
    geometry = geometry_of(tmp_path, BERT)
    assert geometry.encoder == Encoder(
        pad_id=0, padding_position=None, num_token_types=2, num_labels=2
    )
    assert (geometry.activation, geometry.norm_eps) == ("gelu", 1e-12)
    assert (geometry.head_dim, geometry.num_kv_heads, geometry.max_len) == (8, 4, 66)
    assert not geometry.has_tied_embeddings


def test_a_reranker_counts_positions_from_behind_its_padding(tmp_path: Path) -> None:
    """Rows that only padding takes, or nobody, are no room for text."""
    geometry = geometry_of(tmp_path, RERANKER)
    assert geometry.encoder == Encoder(
        pad_id=3, padding_position=3, num_token_types=1, num_labels=1
    )
    assert (geometry.encoder.first_position, geometry.max_len) == (4, 62)


def test_only_a_head_over_the_vocabulary_is_tied(tmp_path: Path) -> None:
    """The field means nothing elsewhere, and is true by default."""
    masked = BERT | {"architectures": ["BertForMaskedLM"]}
    assert geometry_of(tmp_path, masked).has_tied_embeddings
    assert not geometry_of(tmp_path, masked | {"tie_word_embeddings": False}).has_tied_embeddings
    assert not geometry_of(tmp_path, BERT | {"tie_word_embeddings": True}).has_tied_embeddings


REFUSED: dict[str, tuple[str, Config]] = {
    "unknown": ("frobnicate = 1", {"frobnicate": 1}),
    "relative positions": (
        "position_embedding_type = 'relative_key'",
        {"position_embedding_type": "relative_key"},
    ),
    "activation": ("hidden_act = 'silu'", {"hidden_act": "silu"}),
    "activation of no name": ("hidden_act = ['gelu']", {"hidden_act": ["gelu"]}),
    "decoder": ("is_decoder = True", {"is_decoder": True}),
    "second text": ("add_cross_attention = True", {"add_cross_attention": True}),
    "two halves": ("is_encoder_decoder = True", {"is_encoder_decoder": True}),
    "labels of no kind": ("id2label = ['a', 'b']", {"id2label": ["a", "b"]}),
    "no label": ("id2label = {}", {"id2label": {}}),
    "other number": ("num_labels = 5", {"id2label": {"0": "a", "1": "b"}, "num_labels": 5}),
    "endless labels": ("num_labels = 1000000", {"num_labels": 1_000_000}),
    "padding beyond": ("pad_token_id = 97", {"pad_token_id": 97}),
    "negative padding": ("pad_token_id = -1", {"pad_token_id": -1}),
    "no padding": ("pad_token_id = None", {"pad_token_id": None}),
    "uneven heads": ("hidden_size = 33", {"hidden_size": 33}),
    "no types": ("type_vocab_size = 0", {"type_vocab_size": 0}),
    "too many layers": ("num_hidden_layers = 1000000", {"num_hidden_layers": 1_000_000}),
    "model type": ("model_type = 'roberta'", {"model_type": "roberta"}),
}


@pytest.mark.parametrize(("named", "change"), REFUSED.values(), ids=REFUSED)
def test_what_would_be_computed_wrongly_is_refused(
    tmp_path: Path, named: str, change: Config
) -> None:
    """The message names the field and its value."""
    with pytest.raises(StartupError) as caught:
        geometry_of(tmp_path, BERT | change)
    assert str(caught.value).startswith(f"config.json: {named} ")


def test_a_model_is_loaded_for_its_own_task_only(tmp_path: Path) -> None:
    """Either way the message tells what would do."""
    llama = BERT | {"architectures": ["LlamaForCausalLM"], "model_type": "llama"}
    for config, task, problem in (
        (BERT, Task.DECODER, "is an encoder; this engine serves decoders only"),
        (llama, Task.ENCODER, "is a decoder; this engine serves encoders only"),
    ):
        with pytest.raises(StartupError) as caught:
            geometry_of(tmp_path, config, task)
        message = str(caught.value)
        assert message.startswith(f"config.json: architectures: {config['architectures'][0]} ")
        assert problem in message
        assert ("MistralForCausalLM" in message) == (task is Task.DECODER)
        assert ("MPNetModel" in message) == (task is Task.ENCODER)
