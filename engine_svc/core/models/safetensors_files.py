"""Lists the weight files of a model directory. Nothing else decides which files are opened.

Pickle files run code when they are opened: they never are. Beside safetensors they are left alone
with a warning, alone they are refused.
"""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

from engine_svc.core.errors import StartupError
from engine_svc.core.models.model_files import MAX_INDEX_BYTES, own_file, read_json
from engine_svc.core.models.safetensors_header import TensorEntry, WeightFile, read_weight_file
from steeple_rpc.telemetry import logger

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
PICKLE_SUFFIXES = frozenset({".bin", ".ckpt", ".pickle", ".pkl", ".pt", ".pth"})
_MAX_NAMED = 8


@dataclass(frozen=True, slots=True, kw_only=True)
class WeightFiles:
    """The weights of a model: sound headers, every tensor in exactly one file."""

    files: tuple[WeightFile, ...]
    """In name order."""

    @property
    def headers(self) -> bytes:
        """All headers in file order; what `model_fingerprint` wants."""
        return b"".join(file.header for file in self.files)

    @property
    def total_bytes(self) -> int:
        """Bytes of all tensors."""
        return sum(entry.num_bytes for _, entry in self.tensors())

    def tensors(self) -> Iterator[tuple[str, TensorEntry]]:
        """Name and entry of every tensor, in file order."""
        for file in self.files:
            yield from file.tensors.items()

    def renamed(self, name_of: Callable[[str], str]) -> "WeightFiles":
        """The same tensors in the same files, under the names that they are known by.

        Raises:
            StartupError: two tensors would have one name.
        """
        seen: set[str] = set()
        for name in map(name_of, (name for name, _ in self.tensors())):
            if name in seen:
                raise StartupError(f"tensor {name} is there under two names: save the model again")
            seen.add(name)
        return WeightFiles(files=tuple(_renamed(file, name_of) for file in self.files))


def list_weight_files(directory: Path) -> WeightFiles:
    """Find `model.safetensors`, or the files its index names, and check their headers.

    As in transformers the single file wins over an index. Pickle files beside them are told in one
    warning: they are not what is served.

    Raises:
        StartupError: there are none, or one is not sound; the message names file and remedy.
    """
    weights = _listed(directory)
    if pickles := pickle_files(directory):
        logger().warning("pickle_weights_ignored", files=pickles[:_MAX_NAMED], count=len(pickles))
    return weights


def _listed(directory: Path) -> WeightFiles:
    if (directory / SINGLE_FILE).exists():
        return WeightFiles(files=(read_weight_file(own_file(directory, SINGLE_FILE)),))
    if (directory / INDEX_FILE).exists():
        return _listed_by_index(directory)
    raise _without_safetensors(directory)


def _listed_by_index(directory: Path) -> WeightFiles:
    weight_map = read_json(directory, INDEX_FILE, max_bytes=MAX_INDEX_BYTES).get("weight_map")
    if not isinstance(weight_map, dict) or not weight_map:
        raise StartupError(f"{INDEX_FILE}: weight_map must name the file of every tensor")
    names = {_plain(name) for name in weight_map.values()}
    files = tuple(read_weight_file(own_file(directory, name)) for name in sorted(names))
    _check_index(weight_map, files)
    return WeightFiles(files=files)


def _check_index(weight_map: Mapping[str, str], files: tuple[WeightFile, ...]) -> None:
    """Index and headers say the same; a tensor in two files cannot agree with the index."""
    held: dict[str, str] = {}
    for file in files:
        for tensor in file.tensors:
            if tensor in held:
                raise StartupError(
                    f"{file.path.name}: tensor {tensor} is in {held[tensor]} too: "
                    "save the model again"
                )
            held[tensor] = file.path.name
    for tensor in sorted(held.keys() | weight_map.keys()):
        if held.get(tensor) != weight_map.get(tensor):
            raise StartupError(
                f"{INDEX_FILE}: tensor {tensor} is said to be in {weight_map.get(tensor)} and is "
                f"in {held.get(tensor)}: fetch the model again"
            )


def _renamed(file: WeightFile, name_of: Callable[[str], str]) -> WeightFile:
    return replace(file, tensors={name_of(name): entry for name, entry in file.tensors.items()})


def _plain(name: object) -> str:
    """A file name of the index, if it cannot lead out of the directory."""
    if not isinstance(name, str) or Path(name).name != name or not name.endswith(".safetensors"):
        raise StartupError(f"{INDEX_FILE}: {name!r} is not the name of a safetensors file")
    return name


def _without_safetensors(directory: Path) -> StartupError:
    if pickles := pickle_files(directory):
        return StartupError(
            f"{pickles[0]}: pickle weights run code when opened and are never opened: convert the "
            "model to safetensors, for example with transformers' save_pretrained"
        )
    return StartupError(
        f"{SINGLE_FILE}: there are no weights in {directory}: fetch the model again"
    )


def pickle_files(directory: Path) -> list[str]:
    """The names of files that would run code if they were opened, sorted."""
    return sorted(path.name for path in directory.iterdir() if path.suffix in PICKLE_SUFFIXES)
