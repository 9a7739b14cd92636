"""Texts of any lengths are put side by side, and every token knows where it stands."""

import torch

from engine_svc.core.models.encoder_inputs import encoder_inputs
from engine_svc.core.models.geometry import Encoder

BERT = Encoder(pad_id=0, padding_position=None, num_token_types=2, num_labels=2)
ROBERTA = Encoder(pad_id=1, padding_position=1, num_token_types=1, num_labels=2)
MPNET = Encoder(pad_id=1, padding_position=1, num_token_types=0, num_labels=2)


def test_shorter_texts_are_padded_behind_their_ends() -> None:
    """Padding is not attended to."""
    inputs = encoder_inputs([[7, 8, 9], [5]], ROBERTA)
    assert inputs.token_ids.tolist() == [[7, 8, 9], [5, 1, 1]]
    assert inputs.mask.tolist() == [[[True, True, True]], [[True, False, False]]]
    assert inputs.token_ids.dtype == torch.int64


def test_positions_begin_behind_the_paddings_own() -> None:
    """Padding stands at its own position, within a text too, and is not counted."""
    inputs = encoder_inputs([[7, 1, 9], [5]], ROBERTA)
    assert inputs.position_ids.tolist() == [[2, 1, 3], [2, 1, 1]]


def test_positions_of_bert_count_every_token() -> None:
    """From 0."""
    inputs = encoder_inputs([[7, 0, 9], [5]], BERT)
    assert inputs.position_ids.tolist() == [[0, 1, 2]] * 2


def test_token_types_are_padded_with_the_texts() -> None:
    """Where none are given, all tokens are of the first type; MPNet's have none."""
    texts = [[7, 8, 9], [5]]
    given = encoder_inputs(texts, BERT, token_types=[[0, 1, 1], [1]]).token_type_ids
    assert given is not None
    assert given.tolist() == [[0, 1, 1], [1, 0, 0]]
    plain = encoder_inputs(texts, BERT).token_type_ids
    assert plain is not None
    assert plain.tolist() == [[0, 0, 0]] * 2
    assert "token_type_ids" not in encoder_inputs(texts, MPNET).arguments()
