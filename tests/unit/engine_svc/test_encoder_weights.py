"""An encoder's checkpoint is loaded whole; what its architecture leaves aside is known by name."""

from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from engine_svc.core.errors import StartupError
from engine_svc.core.models.description import read_description
from engine_svc.core.models.dtypes import resolve_dtype
from engine_svc.core.models.family import Task
from engine_svc.core.models.loader import load_model
from engine_svc.core.models.safetensors_files import list_weight_files
from tests.support.encoder_cases import ENCODERS
from tests.support.models import save_case
from tests.support.truth_cases import TruthCase

CASES = {case.name: case for case in ENCODERS}
Change = Callable[[dict[str, Tensor]], object]
WEIGHTS = "model.safetensors"
WIDTH, VOCAB = 32, 97


def parameters(directory: Path) -> dict[str, Tensor]:
    loaded = load_model(
        read_description(directory),
        task=Task.ENCODER,
        dtype="auto",
        device=torch.device("cpu"),
        progress=lambda *_: None,
    )
    return dict(loaded.model.named_parameters())


def changed(directory: Path, case: TruthCase, change: Change) -> dict[str, Tensor]:
    save_case(directory, case)
    path = directory / WEIGHTS
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)
    return parameters(directory)


@pytest.mark.parametrize("case", ENCODERS, ids=lambda case: case.name)
def test_every_parameter_is_assigned(case: TruthCase, tmp_path: Path) -> None:
    """As many numbers in the model as in the file, less what nobody reads; ready for inference."""
    save_case(tmp_path, case)
    held = sum(tensor.numel() for tensor in load_file(tmp_path / WEIGHTS).values())
    unread = VOCAB if case.name.endswith("-untied") else 0
    params = parameters(tmp_path)
    assert sum(param.numel() for param in params.values()) == held - unread
    assert all(param.isfinite().all() and not param.requires_grad for param in params.values())


def test_a_table_of_integers_does_not_decide_the_format(tmp_path: Path) -> None:
    """It may be greater than all the weights."""
    table = {"embeddings.position_ids": torch.zeros(1, 66, dtype=torch.int64)}
    save_file(table | {"weight": torch.zeros(3, dtype=torch.bfloat16)}, tmp_path / WEIGHTS)
    weights = list_weight_files(tmp_path)
    dtype = resolve_dtype("auto", device=torch.device("meta"), weights=weights)
    assert dtype is torch.bfloat16


SPARE: dict[str, tuple[str, dict[str, Tensor]]] = {
    "bert's other half": (
        "BertForMaskedLM-tied",
        {
            "bert.pooler.dense.weight": torch.ones(WIDTH, WIDTH),
            "bert.pooler.dense.bias": torch.ones(WIDTH),
            "cls.seq_relationship.weight": torch.ones(2, WIDTH),
            "cls.seq_relationship.bias": torch.ones(2),
            "cls.predictions.decoder.bias": torch.ones(VOCAB),
        },
    ),
    "roberta's pooler": (
        "RobertaForSequenceClassification-two",
        {
            "roberta.pooler.dense.weight": torch.ones(WIDTH, WIDTH),
            "roberta.pooler.dense.bias": torch.ones(WIDTH),
        },
    ),
    "second bias": ("RobertaForMaskedLM-tied", {"lm_head.decoder.bias": torch.ones(VOCAB)}),
}


@pytest.mark.parametrize(("name", "spare"), SPARE.values(), ids=SPARE)
def test_what_the_architecture_leaves_aside_changes_nothing(
    name: str, spare: dict[str, Tensor], tmp_path: Path
) -> None:
    """As in transformers, which reads none of it."""
    plain = changed(tmp_path / "plain", CASES[name], lambda held: held)
    more = changed(tmp_path / "more", CASES[name], lambda held: held.update(spare))
    assert plain.keys() == more.keys()
    assert all(plain[name].equal(more[name]) for name in plain)


REFUSED: dict[str, tuple[str, str, Change]] = {
    "pooler of another width": (
        "RobertaForMaskedLM-tied",
        "tensor roberta.pooler.dense.bias has shape [31]",
        lambda held: held.update({"roberta.pooler.dense.bias": torch.ones(31)}),
    ),
    "bias of an untied head": (
        "RobertaForMaskedLM-untied",
        "tensor lm_head.decoder.bias is missing",
        lambda held: held.pop("lm_head.decoder.bias"),
    ),
    "another head": (
        "RobertaForMaskedLM-tied",
        "tensor lm_head.decoder.weight differs from roberta.embeddings.word_embeddings.weight",
        lambda held: held.update({"lm_head.decoder.weight": torch.ones(VOCAB, WIDTH)}),
    ),
    "a head on a plain model": (
        "BertModel-plain",
        "tensor classifier.bias does not belong to BertModel",
        lambda held: held.update({"classifier.bias": torch.ones(2)}),
    ),
    "no pooler": (
        "RobertaModel-plain",
        "tensor pooler.dense.bias is missing",
        lambda held: held.pop("pooler.dense.bias"),
    ),
    "integers": (
        "BertModel-plain",
        "tensor pooler.dense.bias has dtype I64; F32, F16, BF16 are served",
        lambda held: held.update({"pooler.dense.bias": torch.ones(WIDTH, dtype=torch.int64)}),
    ),
    "two names": (
        "BertModel-plain",
        "tensor embeddings.LayerNorm.weight is there under two names",
        lambda held: held.update({"embeddings.LayerNorm.gamma": torch.ones(WIDTH)}),
    ),
    "a label more": (
        "XLMRobertaForSequenceClassification-reranker",
        "tensor classifier.out_proj.bias has shape [2]",
        lambda held: held.update({"classifier.out_proj.bias": torch.ones(2)}),
    ),
}


@pytest.mark.parametrize(("name", "problem", "change"), REFUSED.values(), ids=REFUSED)
def test_a_checkpoint_that_does_not_fit_is_refused(
    name: str, problem: str, change: Change, tmp_path: Path
) -> None:
    """The tensor is named."""
    with pytest.raises(StartupError) as caught:
        changed(tmp_path, CASES[name], change)
    assert str(caught.value).startswith(problem)
