"""F-26: model directories that ask for code of their own, or lead out of themselves."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from engine_svc.core.errors import StartupError
from engine_svc.core.models.description import read_description
from engine_svc.core.models.family import Task
from engine_svc.core.models.loader import load_model
from steeple_cli.locating.model_missing import ModelNotFound
from steeple_cli.locating.model_path import find_model
from tests.support.audited_load import audited
from tests.support.models import LLAMA, edit_config, save_model
from tests.support.refused_start import refused_start
from tokenizer_svc.errors import StartupError as TokenizerStartupError
from tokenizer_svc.model_dir import read_tokenizer_files

MODULE = "modeling_evil"
AUTO_MAP = {"AutoModelForCausalLM": f"{MODULE}.Evil", "AutoConfig": f"{MODULE}.EvilConfig"}
# What config.json is changed by, and what the refusal begins with.
ASKING: dict[str, tuple[dict[str, Any], str]] = {
    "auto_map": ({"auto_map": AUTO_MAP}, "config.json: auto_map = "),
    "trust": ({"trust_remote_code": True}, "config.json: trust_remote_code = True"),
    "class": ({"architectures": [f"{MODULE}.Evil"]}, f"config.json: architectures: {MODULE}.Evil"),
    "type": ({"model_type": MODULE}, f"config.json: model_type = '{MODULE}'"),
    "quantised": ({"quantization_config": {"quant_method": MODULE}}, "config.json: quantization_"),
    "unknown": ({"custom_code": f"{MODULE}.py"}, "config.json: custom_code = "),
}


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    return tmp_path / "executed"


def refusal(directory: Path) -> str:
    """Why a model is not loaded."""
    with pytest.raises(StartupError) as caught:
        load_model(
            read_description(directory),
            task=Task.DECODER,
            dtype="float32",
            device=torch.device("cpu"),
            progress=lambda *_: None,
        )
    return str(caught.value)


def armed(directory: Path, trace: Path) -> Path:
    """A sound model, with modules beside it that would leave a trace."""
    save_model(directory, LLAMA)
    code = f"from pathlib import Path\nPath({str(trace)!r}).touch()\n"
    for name in (MODULE, "configuration_evil", "conftest", "sitecustomize", "json", "torch"):
        (directory / f"{name}.py").write_text(code)
    return directory


def test_code_beside_a_model_is_never_run(tmp_path: Path, trace: Path) -> None:
    """Asked for in any way it is refused by the field; not asked for, it lies there."""
    directories = []
    for name, (change, _) in ASKING.items():
        directories.append(armed(tmp_path / name, trace))
        edit_config(directories[-1], **change)
    *audits, plain = audited([*directories, armed(tmp_path / "plain", trace)])
    for audit, (_, refusal) in zip(audits, ASKING.values(), strict=True):
        assert audit.refusal.startswith(refusal)
    for audit in (*audits, plain):
        assert audit.ran == []
        assert not any(name.endswith(".py") for name in audit.opened)
    assert plain.refusal == ""
    assert not trace.exists()


def test_the_engine_refuses_to_start_where_code_is_asked_for(tmp_path: Path, trace: Path) -> None:
    """One line, status 2; no switch allows it."""
    directory = armed(tmp_path / "model", trace)
    edit_config(directory, auto_map=AUTO_MAP)
    line = refused_start(directory)
    assert line.startswith("error: config.json: auto_map = ")
    assert "never runs code from a model directory" in line
    assert not trace.exists()


def test_a_tokenizer_of_its_own_code_is_refused(tmp_path: Path) -> None:
    """The tokenizer service reads tokenizer.json alone; a class name is nothing to it."""
    (tmp_path / "tokenizer.json").write_text("{}")
    config = {"tokenizer_class": "Evil", "auto_map": {"AutoTokenizer": [f"{MODULE}.Evil", None]}}
    (tmp_path / "tokenizer_config.json").write_text(json.dumps(config))
    with pytest.raises(TokenizerStartupError, match=r"auto_map asks for code .* never run"):
        read_tokenizer_files(tmp_path)


def test_a_link_out_of_the_model_is_refused(tmp_path: Path) -> None:
    """What lies beside the model is not the model's."""
    for name in ("config.json", "generation_config.json", "model.safetensors"):
        directory = save_model(tmp_path / name, LLAMA)
        outside = tmp_path / f"outside-{name}"
        (directory / name).rename(outside)
        (directory / name).symlink_to(outside)
        assert refusal(directory) == (
            f"{name}: is a link that leaves the model directory: copy the file"
        )


@pytest.mark.parametrize("name", ["../secret", "org/../../secret", "a/b/../..", "..", "./../x"])
def test_a_model_name_that_climbs_finds_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """In the hub cache; a directory that is there is the operator's own choice."""
    cache = tmp_path / "one" / "hub"
    (cache / "models--org--name").mkdir(parents=True)
    monkeypatch.setenv("HF_HUB_CACHE", str(cache))
    monkeypatch.chdir(cache)
    if not Path(name).is_dir():
        with pytest.raises(ModelNotFound):
            find_model(name)
    with pytest.raises(StartupError):
        read_description(cache / name)
