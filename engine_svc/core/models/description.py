"""What a model directory says about itself, without reading any weight."""

import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

from engine_svc.core.errors import StartupError
from engine_svc.core.models.config_values import Json
from engine_svc.core.models.generation_config import default_sampling, end_token_ids
from engine_svc.core.models.model_files import read_json
from engine_svc.core.models.refused import check_architecture
from engine_svc.core.params import SamplingParams, TokenId


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelDescription:
    """The facts about a model that scheduling and validation need."""

    directory: Path
    architecture: str
    vocab_size: int
    max_model_len: int
    """The longest sequence that is computed as the model's maker meant it, in tokens; a decoder's:
    of an encoder only its family knows, see `Geometry.max_len`."""
    eos_token_ids: tuple[TokenId, ...]
    default_sampling: SamplingParams
    config: Json
    """config.json as it is."""


def read_description(directory: Path) -> ModelDescription:
    """Read config.json and generation_config.json of a Hugging Face model directory.

    Raises:
        StartupError: a file or field is missing or of the wrong kind.
    """
    if not directory.is_dir():
        raise StartupError(f"no model directory at {directory}: pass --model DIR")
    config = read_json(directory, "config.json")
    generation = _optional_json(directory, "generation_config.json")
    architectures = config.get("architectures")
    if not isinstance(architectures, list) or len(architectures) != 1:
        raise StartupError(f"{directory}/config.json: architectures must name exactly one class")
    check_architecture(str(architectures[0]))
    vocab_size = _positive(config, "vocab_size", directory)
    return ModelDescription(
        directory=directory,
        architecture=str(architectures[0]),
        vocab_size=vocab_size,
        max_model_len=_max_model_len(config, directory),
        eos_token_ids=end_token_ids(config, generation, vocab_size=vocab_size),
        default_sampling=default_sampling(generation),
        config=config,
    )


def model_fingerprint(description: ModelDescription, *, dtype: str, headers: bytes) -> str:
    """SHA-256 over configuration, the weights' headers and the number format in use.

    Args:
        description: the model.
        dtype: the number format of the weights in use.
        headers: the safetensors headers, in file order; empty for a runner without weights.

    Returns:
        64 hexadecimal digits; equal where the same tokens must come out.
    """
    config = json.dumps(description.config, sort_keys=True).encode()
    parts = (config, dtype.encode(), headers)
    return hashlib.sha256(b"".join(b"%d:%s" % (len(part), part) for part in parts)).hexdigest()


def _optional_json(directory: Path, name: str) -> Json:
    return read_json(directory, name) if (directory / name).exists() else {}


def _max_model_len(config: Json, directory: Path) -> int:
    """As far as positions go, and no further than a window: within it all attention is full."""
    name = "n_positions" if "n_positions" in config else "max_position_embeddings"
    positions = _positive(config, name, directory)
    if config.get("sliding_window") is None or config.get("use_sliding_window") is False:
        return positions
    return min(positions, _positive(config, "sliding_window", directory))


def _positive(config: Json, name: str, directory: Path) -> int:
    value = config.get(name)
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise StartupError(f"{directory}/config.json: {name} must be a positive integer")
    return value
