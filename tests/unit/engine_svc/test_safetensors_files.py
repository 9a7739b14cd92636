"""Which files hold a model's weights: safetensors, of this directory, and agreed upon."""

import json
from pathlib import Path

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.models.safetensors_files import list_weight_files
from tests.support.lfs_pointer import LFS_POINTER
from tests.support.safetensors_bytes import entry, write_safetensors

FIRST = "model-00001-of-00002.safetensors"
SECOND = "model-00002-of-00002.safetensors"


def write_index(directory: Path, weight_map: object) -> None:
    index = {"metadata": {"total_size": 1}, "weight_map": weight_map}
    (directory / "model.safetensors.index.json").write_text(json.dumps(index))


@pytest.fixture
def sharded(tmp_path: Path) -> Path:
    write_safetensors(tmp_path / FIRST, {"a": entry(0, 4)}, data_bytes=4)
    write_safetensors(tmp_path / SECOND, {"b": entry(0, 8), "c": entry(8, 12)}, data_bytes=12)
    write_index(tmp_path, {"a": FIRST, "b": SECOND, "c": SECOND})
    return tmp_path


def test_the_files_of_an_index_are_listed_in_order(sharded: Path) -> None:
    """Headers in file order, the bytes of all tensors, every tensor once."""
    weights = list_weight_files(sharded)
    assert [file.path.name for file in weights.files] == [FIRST, SECOND]
    assert sorted(name for name, _ in weights.tensors()) == ["a", "b", "c"]
    assert weights.total_bytes == 16
    assert weights.headers == weights.files[0].header + weights.files[1].header


def test_a_single_file_wins_over_an_index(sharded: Path) -> None:
    """As in transformers; other safetensors files are not the model's."""
    write_safetensors(sharded / "model.safetensors", {"x": entry(0, 4)}, data_bytes=4)
    write_safetensors(sharded / "consolidated.safetensors", {"y": entry(0, 4)}, data_bytes=4)
    assert [name for name, _ in list_weight_files(sharded).tensors()] == ["x"]


@pytest.mark.parametrize("name", ["pytorch_model.bin", "consolidated.00.pth", "x.pt", "x.ckpt"])
def test_pickle_alone_is_refused(tmp_path: Path, name: str) -> None:
    """Named, with the remedy; it is not opened."""
    (tmp_path / name).write_bytes(b"anything")
    with pytest.raises(StartupError, match=f"{name}: pickle weights .* convert the model"):
        list_weight_files(tmp_path)


def test_pickle_beside_safetensors_is_ignored(sharded: Path) -> None:
    """It is not a reason to refuse the model, and not a file of it."""
    (sharded / "pytorch_model.bin").write_bytes(b"anything")
    assert len(list_weight_files(sharded).files) == 2


def test_no_weights_are_refused(tmp_path: Path) -> None:
    """The name of the file that is missing is told."""
    with pytest.raises(StartupError, match=r"model\.safetensors: there are no weights"):
        list_weight_files(tmp_path)


@pytest.mark.parametrize(
    "name",
    [
        "../model.safetensors",
        "/etc/model.safetensors",
        "sub/model.safetensors",
        "..",
        "",
        "model.bin",
        7,
        None,
    ],
)
def test_an_index_cannot_lead_out_of_the_directory(sharded: Path, name: object) -> None:
    """Plain names of safetensors files only."""
    write_index(sharded, {"a": name})
    with pytest.raises(StartupError, match="is not the name of a safetensors file"):
        list_weight_files(sharded)


@pytest.mark.parametrize("weight_map", [{}, [], None, "a"])
def test_an_index_without_a_map_is_refused(sharded: Path, weight_map: object) -> None:
    """The field is named."""
    write_index(sharded, weight_map)
    with pytest.raises(StartupError, match="weight_map must name the file of every tensor"):
        list_weight_files(sharded)


@pytest.mark.parametrize(
    ("weight_map", "tensor"),
    [
        ({"a": FIRST, "b": SECOND}, "c"),
        ({"a": FIRST, "b": SECOND, "c": SECOND, "d": SECOND}, "d"),
        ({"a": FIRST, "b": FIRST, "c": SECOND}, "b"),
    ],
    ids=["not in the index", "only in the index", "in another file"],
)
def test_index_and_headers_must_agree(
    sharded: Path, weight_map: dict[str, str], tensor: str
) -> None:
    """The tensor on which they differ is named."""
    write_index(sharded, weight_map)
    with pytest.raises(StartupError, match=f"tensor {tensor} is said to be in"):
        list_weight_files(sharded)


def test_a_tensor_in_two_files_is_refused(sharded: Path) -> None:
    """Nobody could say which one counts."""
    write_safetensors(sharded / FIRST, {"a": entry(0, 4), "c": entry(4, 8)}, data_bytes=8)
    with pytest.raises(StartupError, match=f"{SECOND}: tensor c is in {FIRST} too"):
        list_weight_files(sharded)


def test_a_missing_shard_is_named(sharded: Path) -> None:
    """A fetch that was cut off."""
    (sharded / SECOND).unlink()
    with pytest.raises(StartupError, match=f"{SECOND}: there is no such file"):
        list_weight_files(sharded)


def test_a_link_out_of_the_directory_is_refused(tmp_path: Path) -> None:
    """A model directory cannot make the engine read another file."""
    model, outside = tmp_path / "model", tmp_path / "outside.safetensors"
    model.mkdir()
    write_safetensors(outside, {"a": entry(0, 4)}, data_bytes=4)
    (model / "model.safetensors").symlink_to(outside)
    with pytest.raises(StartupError, match="leaves the model directory"):
        list_weight_files(model)


def test_a_link_inside_the_directory_is_followed(sharded: Path) -> None:
    """Two names of one file of the model."""
    (sharded / "model.safetensors").symlink_to(FIRST)
    assert [name for name, _ in list_weight_files(sharded).tensors()] == ["a"]


def test_the_hub_cache_is_followed_to_its_blobs_and_no_further(tmp_path: Path) -> None:
    """snapshots/<revision>/file -> ../../blobs/<hash>, in this repository's own folder."""
    repository = tmp_path / "models--org--name"
    snapshot, blobs = repository / "snapshots" / "abc", repository / "blobs"
    snapshot.mkdir(parents=True)
    blobs.mkdir()
    write_safetensors(blobs / "0f3a", {"a": entry(0, 4)}, data_bytes=4)
    link = snapshot / "model.safetensors"
    link.symlink_to("../../blobs/0f3a")
    (file,) = list_weight_files(snapshot).files
    assert file.path.name == "model.safetensors"
    link.unlink()
    write_safetensors(tmp_path / "0f3a", {"a": entry(0, 4)}, data_bytes=4)
    link.symlink_to("../../../0f3a")
    with pytest.raises(StartupError, match="leaves the model directory"):
        list_weight_files(snapshot)


def test_a_file_that_git_lfs_has_not_fetched_is_named(sharded: Path) -> None:
    """It is text: as weights it would only be no safetensors file."""
    (sharded / "model.safetensors").write_text(LFS_POINTER)
    with pytest.raises(StartupError) as caught:
        list_weight_files(sharded)
    assert str(caught.value) == (
        f"model.safetensors in {sharded} stands for a file that Git LFS has not fetched: run"
        f" `git -C {sharded} lfs pull`"
    )
