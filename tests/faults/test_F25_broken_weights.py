"""F-25: weight files that are cut, lie about themselves, lead elsewhere or swell in memory.

Refused before anything reaches the device, by file and tensor, in bounded memory.
"""

import json
import os
import random
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from engine_svc.core.errors import StartupError
from engine_svc.core.models.description import read_description
from engine_svc.core.models.family import Task
from engine_svc.core.models.loader import load_model
from engine_svc.core.models.model_files import MAX_CONFIG_BYTES, MAX_INDEX_BYTES
from engine_svc.core.models.safetensors_header import MAX_HEADER_BYTES, read_weight_file
from tests.support.audited_load import audited
from tests.support.fault_counts import count
from tests.support.models import LLAMA, edit_config, save_model
from tests.support.refused_start import refused_start
from tests.support.safetensors_bytes import entry, write_raw, write_safetensors

WEIGHTS = "model.safetensors"
INDEX = "model.safetensors.index.json"
NORM = "model.norm.weight"
MAX_GROWTH_BYTES = 450 << 20
"""What refusing any of them may take, beyond what a sound model took."""
NOWHERE = torch.device("privateuseone")
"""A device that nobody made: a tensor sent there raises something else than a refusal."""


@pytest.fixture
def model(tmp_path: Path) -> Path:
    return save_model(tmp_path / "model", LLAMA)


def refusal(model: Path) -> str:
    """Why it is refused, before any tensor goes to the device."""
    with pytest.raises(StartupError) as caught:
        load_model(
            read_description(model),
            task=Task.DECODER,
            dtype="float32",
            device=NOWHERE,
            progress=lambda *_: None,
        )
    message = str(caught.value)
    assert message.isprintable()
    return message


def test_the_device_of_these_tests_takes_nothing(model: Path) -> None:
    """What is not refused gets as far as to fail in another way."""
    with pytest.raises((ImportError, NotImplementedError, RuntimeError)):
        load_model(
            read_description(model),
            task=Task.DECODER,
            dtype="float32",
            device=NOWHERE,
            progress=lambda *_: None,
        )


@pytest.mark.parametrize("sixteenth", range(16))
def test_a_file_cut_anywhere_is_refused(model: Path, sixteenth: int) -> None:
    """Also one byte before each sixteenth."""
    path = model / WEIGHTS
    whole = path.read_bytes()
    for end in (len(whole) * sixteenth // 16, len(whole) * (sixteenth + 1) // 16 - 1):
        path.write_bytes(whole[:end])
        assert refusal(model).startswith(f"{WEIGHTS} ")


@pytest.mark.parametrize("length", [2**63, 2**64 - 1, 2**32, 0, 1, 7])
def test_a_false_header_length_is_refused(model: Path, length: int) -> None:
    """Far too long, or ending inside the header."""
    path = model / WEIGHTS
    path.write_bytes(length.to_bytes(8, "little") + path.read_bytes()[8:])
    assert refusal(model).startswith(WEIGHTS)


LYING_HEADERS: dict[str, object] = {
    "overlap": {"a": entry(0, 8), "b": entry(4, 12)},
    "twice the same bytes": {"a": entry(0, 12), "b": entry(0, 12)},
    "gap": {"a": entry(0, 4), "b": entry(8, 12)},
    "backwards": {"a": {**entry(0, 12), "data_offsets": [12, 0]}},
    "negative": {"a": {**entry(0, 12), "data_offsets": [-12, 0]}},
    "beyond the end": {"a": entry(0, 1 << 62)},
    "wrapping shape": {"a": entry(0, 12, shape=[1 << 32, 1 << 32])},
    "endless number": {"a": entry(0, 12, shape=[int("9" * 4000)] * 8)},
    "float8": {"a": entry(0, 12, dtype="F8_E4M3")},
    "int64": {"a": entry(0, 12, dtype="I64")},
    "name of many lines": {"a\nerror: all is well\x1b[2J\ud800": entry(0, 4)},
    "endless name": {"a" * 100_000: entry(0, 4)},
}


@pytest.mark.parametrize("header", LYING_HEADERS.values(), ids=LYING_HEADERS)
def test_a_header_that_lies_is_refused(model: Path, header: object) -> None:
    """On one line of bounded length, whatever it quotes."""
    write_safetensors(model / WEIGHTS, header, data_bytes=12)
    message = refusal(model)
    assert message.startswith(WEIGHTS)
    assert len(message) < 1000


def test_tensors_of_another_shape_or_format_are_refused(model: Path) -> None:
    """By their names."""
    held = {name: tensor.clone() for name, tensor in load_file(model / WEIGHTS).items()}
    save_file(held | {NORM: torch.ones(33)}, model / WEIGHTS)
    assert refusal(model).startswith(f"tensor {NORM} has shape [33] where config.json needs [32]")
    save_file(held | {NORM: torch.ones(32, dtype=torch.float64)}, model / WEIGHTS)
    assert refusal(model).startswith(f"{WEIGHTS}: tensor {NORM} has dtype F64")
    save_file(held | {NORM: torch.ones(32, dtype=torch.int64)}, model / WEIGHTS)
    assert refusal(model).startswith(f"tensor {NORM} has dtype I64")


def test_a_number_that_is_not_finite_is_refused(model: Path) -> None:
    """In the first group of tensors: before that goes to the device."""
    held = {name: tensor.clone() for name, tensor in load_file(model / WEIGHTS).items()}
    held[NORM][5] = float("nan")
    save_file(held, model / WEIGHTS)
    assert refusal(model).startswith(f"tensor {NORM} holds numbers that are not finite")


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    return save_model(tmp_path / "sharded", LLAMA, max_shard_size="20KB")


def point_first_tensor_to(model: Path, target: object) -> None:
    index = json.loads((model / INDEX).read_bytes())
    index["weight_map"][min(index["weight_map"])] = target
    (model / INDEX).write_text(json.dumps(index))


def test_a_missing_shard_is_refused_by_its_name(sharded: Path) -> None:
    """A fetch that was given up."""
    shard = sorted(sharded.glob("*.safetensors"))[1]
    shard.unlink()
    assert refusal(sharded) == (
        f"{shard.name}: there is no such file in the model directory: fetch it again"
    )


@pytest.mark.parametrize(
    "target",
    [
        "/etc/passwd",
        "../outside.safetensors",
        "sub/../../outside.safetensors",
        "./model-00001-of-00003.safetensors",
        "..",
        "",
        "outside.safetensors\x00",
        7,
        None,
        ["outside.safetensors"],
    ],
)
def test_an_index_that_leads_elsewhere_is_refused(sharded: Path, target: object) -> None:
    """Whether or not there is something."""
    write_safetensors(sharded.parent / "outside.safetensors", {}, data_bytes=0)
    point_first_tensor_to(sharded, target)
    assert refusal(sharded).startswith(f"{INDEX}: ")


@pytest.mark.parametrize("kind", ["link out", "link to a device", "pipe", "directory"])
def test_a_shard_that_is_no_file_of_the_model_is_refused(sharded: Path, kind: str) -> None:
    """Opening a pipe would wait for ever, reading a device never end."""
    outside = write_safetensors(sharded.parent / "outside.safetensors", {}, data_bytes=0)
    make: dict[str, Callable[[Path], object]] = {
        "link out": lambda path: path.symlink_to(outside),
        "link to a device": lambda path: path.symlink_to("/dev/zero"),
        "pipe": os.mkfifo,
        "directory": Path.mkdir,
    }
    shard = min(sharded.glob("*.safetensors"))
    shard.unlink()
    make[kind](shard)
    assert refusal(sharded).startswith(f"{shard.name}: ")


def test_bombs_are_refused_in_bounded_memory(tmp_path: Path) -> None:
    """Headers, indexes and configurations that swell when parsed, up to what is read at all."""
    bombs = {
        "lists": (WEIGHTS, b'{"a":[' + b"[]," * (MAX_HEADER_BYTES // 3 - 9) + b"[]]}"),
        "objects": (WEIGHTS, b'{"a":[' + b"{}," * (MAX_HEADER_BYTES // 3 - 9) + b"{}]}"),
        "nesting": (WEIGHTS, b"[" * MAX_HEADER_BYTES),
        "metadata": (WEIGHTS, b'{"__metadata__":{"a":"' + b"b" * (MAX_HEADER_BYTES - 99) + b'"}}'),
        "index": (INDEX, b'{"weight_map":[' + b"{}," * (MAX_INDEX_BYTES // 3 - 9) + b"{}]}"),
        "config": ("config.json", b'{"a":' + b"[" * (MAX_CONFIG_BYTES - 9)),
        "generation": ("generation_config.json", b" " * (MAX_CONFIG_BYTES + 1)),
    }
    directories = [save_model(tmp_path / "sound", LLAMA)]
    for name, (file, content) in bombs.items():
        directory = save_model(tmp_path / name, LLAMA)
        (directory / WEIGHTS).unlink()
        if file == WEIGHTS:
            write_raw(directory / WEIGHTS, content, data_bytes=0)
        else:
            (directory / file).write_bytes(content)
        directories.append(directory)
    sparse = save_model(tmp_path / "sparse", LLAMA) / WEIGHTS
    with sparse.open("wb") as file_object:
        file_object.write((1 << 40).to_bytes(8, "little"))
        file_object.truncate((1 << 40) + 8)
    sound, *audits = audited([*directories, sparse.parent])
    assert sound.refusal == ""
    for audit, name in zip(audits, [*bombs, "sparse"], strict=True):
        assert audit.refusal, name
    # Each tells by how much it raised the greatest so far.
    assert sum(audit.rss_bytes for audit in audits) < MAX_GROWTH_BYTES


def test_random_headers_are_refused_or_sound(tmp_path: Path) -> None:
    """Nothing but a refusal, on one line, ever leaves the reader."""
    draw = random.Random(25)  # noqa: S311 - bytes, not secrets
    header = {"__metadata__": {"format": "pt"}, "a": entry(0, 8, shape=[2, 1]), "b": entry(8, 12)}
    sound = json.dumps(header).encode()
    path = tmp_path / WEIGHTS
    outcomes = {True: 0, False: 0}
    for _ in range(count(2_000, 100_000)):
        mutated = _mutated(sound, draw)
        length = draw.choice([None, None, None, draw.randrange(1 << 64), draw.randrange(200)])
        write_raw(path, mutated, data_bytes=12, length=length)
        try:
            file = read_weight_file(path)
        except StartupError as error:
            assert str(error).isprintable()  # noqa: PT017 - most, not all, are refused
            outcomes[False] += 1
        else:
            assert sum(one.num_bytes for one in file.tensors.values()) == 12
            outcomes[True] += 1
    assert min(outcomes.values()) > 0, "the draw reaches one outcome only"


_FRAGMENTS = [b"null", b"-1", b"1e400", b"[]", b"{}", b'"a"', b",", b"}", b"\x00", b"\xff", b"NaN"]


def _mutated(header: bytes, draw: random.Random) -> bytes:
    """A few bytes changed, taken out, doubled, or replaced by what JSON has."""
    for _ in range(draw.randrange(1, 4)):
        start = draw.randrange(len(header))
        end = start + draw.randrange(1, 9)
        digits = str(draw.randrange(1 << draw.randrange(1, 99))).encode()
        new = draw.choice([b"", header[start:end] * 2, bytes([draw.randrange(256)]), digits])
        header = header[:start] + draw.choice([new, draw.choice(_FRAGMENTS)]) + header[end:]
        header = header or b"{}"
    return header


def test_the_engine_refuses_to_start_on_a_cut_file(model: Path) -> None:
    """One line that names the file and the remedy, status 2."""
    path = model / WEIGHTS
    path.write_bytes(path.read_bytes()[:-1])
    line = refused_start(model)
    assert line.startswith(f"error: {WEIGHTS} holds ")
    assert "fetch the file again" in line


def test_the_engine_refuses_to_start_on_another_models_weights(model: Path) -> None:
    """Told by the tensor, before the cache is sized."""
    edit_config(model, num_hidden_layers=3)
    assert "tensor model.layers.2.input_layernorm.weight is missing" in refused_start(model)
