"""What is loaded does not depend on the order of Python's sets, as it does in FMS alone."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
from safetensors.torch import load_file

from tests.support.models import save_case
from tests.support.truth_cases import TruthCase

# An untied head with two biases, that FMS gets right with the one and wrong with the other.
SEEDS = ("1", "3")
UNTIED = TruthCase(
    name="untied",
    model_class="RobertaForMaskedLM",
    config={
        "vocab_size": 97,
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 1,
        "num_attention_heads": 4,
        "max_position_embeddings": 66,
        "tie_word_embeddings": False,
    },
)
PROGRAM = """
import sys
from pathlib import Path
import torch
from safetensors.torch import save_file
from engine_svc.core.models.description import read_description
from engine_svc.core.models.family import Task
from engine_svc.core.models.loader import load_model

loaded = load_model(
    read_description(Path(sys.argv[1])),
    task=Task.ENCODER,
    dtype="float32",
    device=torch.device("cpu"),
    progress=lambda *_: None,
)
save_file(dict(loaded.model.named_parameters()), sys.argv[2])
"""


@pytest.mark.parametrize("seed", SEEDS)
def test_an_untied_head_has_the_decoders_bias(seed: str, tmp_path: Path) -> None:
    """Whatever the hash seed of the process that loads."""
    save_case(tmp_path, UNTIED)
    loaded = tmp_path / "loaded.safetensors"
    subprocess.run(
        [sys.executable, "-c", PROGRAM, str(tmp_path), str(loaded)],
        env=os.environ | {"PYTHONHASHSEED": seed},
        check=True,
        timeout=90,
    )
    held = load_file(tmp_path / "model.safetensors")
    bias = load_file(loaded)["classification_head.head.bias"]
    assert bias.equal(held["lm_head.decoder.bias"])
    assert not bias.equal(held["lm_head.bias"])
