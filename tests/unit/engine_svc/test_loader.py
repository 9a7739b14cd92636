"""A model is loaded whole, from safetensors, or refused by the name of what is wrong."""

import json
import pickle
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from fms.utils import serialization
from safetensors.torch import load_file, save_file
from torch import nn

from engine_svc.core.errors import StartupError
from engine_svc.core.models import loader
from engine_svc.core.models.description import read_description
from engine_svc.core.models.dtypes import resolve_dtype
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.fms_model import build_fms_model, grow_factor
from engine_svc.core.models.geometry import Geometry
from engine_svc.core.models.loader import LoadedModel, load_model
from tests.support.models import GRANITE, LLAMA, TINY_MODELS, TinyModel, edit_config, save_model

CPU = torch.device("cpu")
QUERY = "model.layers.1.self_attn.q_proj.weight"
Change = Callable[[dict[str, torch.Tensor]], object]


def loaded(directory: Path, *, dtype: str = "auto") -> LoadedModel:
    return load_model(
        read_description(directory),
        task=Task.DECODER,
        dtype=dtype,
        device=CPU,
        progress=lambda *_: None,
    )


def change_weights(directory: Path, change: Change) -> None:
    path = directory / "model.safetensors"
    tensors = {name: tensor.clone() for name, tensor in load_file(path).items()}
    change(tensors)
    save_file(tensors, path)


@pytest.fixture
def granite(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", GRANITE)


@pytest.fixture(autouse=True)
def pickle_is_a_trap(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever opens a pickle here fails the test."""

    def trap(*_: object, **__: object) -> None:
        pytest.fail("a pickle was opened")

    monkeypatch.setattr(torch, "load", trap)


@pytest.mark.parametrize("tiny", TINY_MODELS, ids=lambda tiny: tiny.name)
def test_every_parameter_is_assigned(tiny: TinyModel, tmp_path: Path) -> None:
    """As many numbers in the model as in the file; finite, in the format asked for."""
    directory = save_model(tmp_path / "model", tiny)
    result = loaded(directory)
    params = dict(result.model.named_parameters())
    held = sum(entry.num_bytes for _, entry in result.weights.tensors())
    assert sum(param.numel() for param in params.values()) * 4 == held == result.weights_bytes
    assert all(param.isfinite().all() and not param.is_meta for param in params.values())
    assert not any(param.requires_grad for param in params.values())
    assert not result.model.training
    assert {param.dtype for param in params.values()} == {torch.float32}


def test_progress_goes_from_nothing_to_all_bytes(granite: Path) -> None:
    """In whole groups of tensors, never back."""
    told: list[tuple[str, int, int]] = []
    result = load_model(
        read_description(granite),
        task=Task.DECODER,
        dtype="auto",
        device=CPU,
        progress=lambda *what: told.append(what),
    )
    stages, done, totals = zip(*told, strict=True)
    assert set(stages) == {"loading weights"}
    assert set(totals) == {result.weights.total_bytes}
    assert (done[0], done[-1]) == (0, result.weights.total_bytes)
    assert list(done) == sorted(set(done))
    assert len(done) == 1 + 1 + 2


def test_shards_load_like_one_file(granite: Path, tmp_path: Path) -> None:
    """Layers may be torn apart by file borders."""
    sharded = save_model(tmp_path / "sharded", GRANITE, max_shard_size="8KB")
    assert len(list(sharded.glob("*.safetensors"))) > 3
    one, many = (dict(loaded(path).model.named_parameters()) for path in (granite, sharded))
    assert one.keys() == many.keys()
    assert all(torch.equal(one[name], many[name]) for name in one)


def test_the_weights_do_not_hang_on_the_file(granite: Path) -> None:
    """A file overwritten under a running engine changes no answer."""
    result = loaded(granite)
    before = [param.clone() for param in result.model.parameters()]
    path = granite / "model.safetensors"
    with path.open("r+b") as file:
        file.seek(-2000, 2)
        file.write(b"\x7f" * 2000)
    assert all(map(torch.equal, before, result.model.parameters()))


@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_weights_are_converted(granite: Path, dtype: str) -> None:
    """Whatever the file holds."""
    assert loaded(granite, dtype=dtype).dtype is getattr(torch, dtype)


def test_auto_is_float32_on_a_cpu_and_the_files_format_elsewhere(granite: Path) -> None:
    """On a CPU a bfloat16 checkpoint keeps its numbers exactly."""
    name = "model.norm.weight"
    change_weights(
        granite,
        lambda held: held.update({key: value.bfloat16() for key, value in held.items()}),
    )
    result = loaded(granite)
    assert result.dtype is torch.float32
    expected = load_file(granite / "model.safetensors")[name].float()
    assert torch.equal(
        dict(result.model.named_parameters())["base_model.dec_norm.weight"], expected
    )
    elsewhere = resolve_dtype("auto", device=torch.device("meta"), weights=result.weights)
    assert elsewhere is torch.bfloat16


def test_an_unknown_dtype_is_refused(granite: Path) -> None:
    """With the list."""
    with pytest.raises(StartupError, match="dtype 'int8' is unknown: use auto, bfloat16"):
        loaded(granite, dtype="int8")


def _transpose(tensors: dict[str, torch.Tensor]) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    tensors[name] = tensors[name].T.contiguous()


BAD_WEIGHTS: dict[str, tuple[str, Change]] = {
    "missing": (f"tensor {QUERY} is missing", lambda held: held.pop(QUERY)),
    "missing head": ("tensor lm_head.weight is missing", lambda held: held.pop("lm_head.weight")),
    "unknown": (
        "tensor model.extra does not belong to GraniteForCausalLM",
        lambda held: held.update({"model.extra": torch.zeros(1)}),
    ),
    "one layer more": (
        "tensor model.layers.2.input_layernorm.weight does not belong",
        lambda held: held.update({"model.layers.2.input_layernorm.weight": torch.zeros(32)}),
    ),
    "bias": (
        "tensor model.layers.0.self_attn.q_proj.bias does not belong",
        lambda held: held.update({"model.layers.0.self_attn.q_proj.bias": torch.zeros(32)}),
    ),
    "shape": (
        r"up_proj\.weight has shape \[32, 48\] where config\.json needs \[48, 32\]",
        _transpose,
    ),
    "vocabulary": (
        r"tensor lm_head\.weight has shape \[98, 32\]",
        lambda held: held.update({"lm_head.weight": torch.zeros(98, 32)}),
    ),
}


@pytest.mark.parametrize(("problem", "change"), BAD_WEIGHTS.values(), ids=BAD_WEIGHTS)
def test_tensors_that_do_not_fit_the_config_are_refused(
    granite: Path, problem: str, change: Change
) -> None:
    """The tensor is named, before anything is loaded."""
    change_weights(granite, change)
    with pytest.raises(StartupError, match=problem):
        loaded(granite)


def _spoiled(value: float) -> Change:
    return lambda held: held[QUERY].view(-1)[3:4].fill_(value)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
def test_numbers_that_are_not_finite_are_refused(granite: Path, value: float) -> None:
    """One of them would spoil every answer."""
    change_weights(granite, _spoiled(value))
    with pytest.raises(StartupError, match=f"tensor {QUERY} holds numbers that are not finite"):
        loaded(granite)


def test_numbers_too_great_for_the_format_are_refused(granite: Path) -> None:
    """They would be infinite in it; in the file's own format they are not."""
    change_weights(granite, _spoiled(1e5))
    assert loaded(granite, dtype="bfloat16").weights_bytes > 0
    with pytest.raises(StartupError, match=f"tensor {QUERY} .* not finite in float16: .*--dtype"):
        loaded(granite, dtype="float16")


def test_a_truncated_file_is_refused(granite: Path) -> None:
    """A fetch that was cut off."""
    path = granite / "model.safetensors"
    path.write_bytes(path.read_bytes()[:-100])
    with pytest.raises(StartupError, match=r"model\.safetensors holds .* fetch the file again"):
        loaded(granite)


def test_old_rotation_tables_are_tolerated(granite: Path) -> None:
    """They follow from the configuration; nothing reads them."""
    name = "model.layers.0.self_attn.rotary_emb.inv_freq"
    change_weights(granite, lambda held: held.update({name: torch.ones(4)}))
    assert loaded(granite).weights_bytes > 0


@pytest.fixture
def tied(tmp_path: Path) -> Path:
    tiny = TinyModel(name="tied", family="llama", config={"tie_word_embeddings": True})
    return save_model(tmp_path / "tied", tiny)


def test_a_tied_head_is_the_embedding(tied: Path) -> None:
    """One tensor in memory, counted once; a repeated head in the file changes nothing."""
    result = loaded(tied)
    model: Any = result.model  # untyped
    assert model.head.weight is model.base_model.embedding.weight
    embedding = "model.embed_tokens.weight"
    change_weights(tied, lambda held: held.update({"lm_head.weight": held[embedding].clone()}))
    assert loaded(tied).weights_bytes == result.weights_bytes


def test_a_tied_model_with_another_head_is_refused(tied: Path) -> None:
    """One of the two would be ignored without a word."""
    change_weights(tied, lambda held: held.update({"lm_head.weight": torch.ones(97, 32)}))
    with pytest.raises(StartupError, match=r"tensor lm_head\.weight differs from model\.embed"):
        loaded(tied)


serialization_get_adapted = serialization.get_adapted


# FMS's conversion: architecture, source, tensors, keyword arguments.
def _lossy(*arguments: Any) -> dict[str, torch.Tensor]:
    tensors = serialization_get_adapted(*arguments)
    return {name: tensor for name, tensor in tensors.items() if "dec_norm" not in name}


def _unwanted(*arguments: Any) -> dict[str, torch.Tensor]:
    tensors = serialization_get_adapted(*arguments)
    return {name.replace("dec_norm", "dec_morn"): tensor for name, tensor in tensors.items()}


def _misshapen(*arguments: Any) -> dict[str, torch.Tensor]:
    tensors = serialization_get_adapted(*arguments)
    return {name: tensor.flatten() for name, tensor in tensors.items()}


@pytest.mark.parametrize(
    ("conversion", "problem"),
    [
        (_lossy, r"FMS converts \d+ numbers of GraniteForCausalLM to \d+"),
        (_unwanted, r"FMS does not use tensor base_model\.dec_morn\.weight"),
        (_misshapen, "FMS has no room for the weights"),
        (lambda *_: {}, "FMS converts"),
    ],
    ids=["lossy", "unwanted", "misshapen", "empty"],
)
def test_a_conversion_that_loses_anything_is_noticed(
    granite: Path,
    monkeypatch: pytest.MonkeyPatch,
    conversion: Callable[..., dict[str, torch.Tensor]],
    problem: str,
) -> None:
    """Another version of FMS may convert otherwise: nothing gets lost without a word."""
    monkeypatch.setattr(serialization, "get_adapted", conversion)
    with pytest.raises(StartupError, match=problem):
        loaded(granite)


def test_a_parameter_that_got_nothing_is_noticed(
    granite: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A parameter that FMS has and no checkpoint fills."""

    def with_another_parameter(family: Family, geometry: Geometry) -> nn.Module:
        model = build_fms_model(family, geometry)
        model.register_parameter("extra", nn.Parameter(torch.empty(1, device="meta")))
        return model

    monkeypatch.setattr(loader, "build_fms_model", with_another_parameter)
    with pytest.raises(StartupError, match="FMS's parameter extra got no weights"):
        loaded(granite)


class Canary:
    """Leaves a trace if it is ever unpickled."""

    def __init__(self, trace: Path) -> None:
        self.trace = trace

    def __reduce__(self) -> tuple[object, ...]:
        return (Path.touch, (self.trace,))


def test_pickle_weights_never_run(granite: Path, tmp_path: Path) -> None:
    """Beside safetensors ignored, alone refused; the code in them stays asleep."""
    trace = tmp_path / "executed"
    (granite / "pytorch_model.bin").write_bytes(pickle.dumps(Canary(trace)))
    assert loaded(granite).weights_bytes > 0
    (granite / "model.safetensors").unlink()
    with pytest.raises(StartupError, match=r"pytorch_model\.bin: pickle weights"):
        loaded(granite)
    assert not trace.exists()
    pickle.loads((granite / "pytorch_model.bin").read_bytes())  # noqa: S301 - the trap works
    assert trace.exists()


def test_a_refused_config_is_refused_before_the_weights_are_looked_at(granite: Path) -> None:
    """The cheap check comes first."""
    (granite / "model.safetensors").unlink()
    edit_config(granite, sliding_window=16)
    with pytest.raises(StartupError, match=r"config\.json: sliding_window"):
        loaded(granite)


def test_granite_weights_under_a_llama_config_are_refused(granite: Path) -> None:
    """The tensors are the same: only the multipliers in config.json tell them apart."""
    edit_config(granite, architectures=["LlamaForCausalLM"], model_type="llama")
    with pytest.raises(StartupError, match=r"config\.json: attention_multiplier"):
        loaded(granite)


def test_every_intermediate_size_is_met_exactly(tmp_path: Path) -> None:
    """FMS multiplies and cuts off: 115 / 112 * 112 would be 114."""
    assert int(115 / 112 * 112) == 114
    assert all(
        int(grow_factor(inner=inner, width=width) * width) == inner
        for width in (112, 896, 2560)
        for inner in range(width, 4 * width)
    )
    config = {"hidden_size": 112, "intermediate_size": 115}
    directory = save_model(tmp_path, TinyModel(name="odd", family=LLAMA.family, config=config))
    assert loaded(directory).geometry.intermediate_size == 115


def test_the_weights_headers_are_those_of_the_file(granite: Path) -> None:
    """They go into the model's fingerprint."""
    assert "lm_head.weight" in json.loads(loaded(granite).weights.headers)
