"""The local hub cache: where a model's snapshot is, and what to do where there is none.

    models--ORG--NAME/refs/REVISION → snapshots/COMMIT/FILE → blobs/…

Nothing is ever downloaded.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from pathlib import Path

from steeple_cli.locating.model_files import CONFIG, missing_part
from steeple_cli.locating.model_missing import ModelNotFound

MAIN = "main"
_MAX_NEAR = 3
_CUTOFF = 0.7
_PREFIX = "models--"
_IF_GATED = "if it is gated, accept its terms on its page and log in with `hf auth login` before"


@dataclass(frozen=True, slots=True, kw_only=True)
class HubCache:
    """A hub cache on this machine, which need not exist."""

    root: Path

    @classmethod
    def found(cls, environ: Mapping[str, str]) -> "HubCache":
        """Where the hub's own library has it."""
        if given := environ.get("HF_HUB_CACHE"):
            return cls(root=Path(given).expanduser())
        home = environ.get("HF_HOME", "~/.cache/huggingface")
        return cls(root=Path(home).expanduser() / "hub")

    def names(self) -> list[str]:
        """Every org/name that it knows of, whole or not."""
        if not self.root.is_dir():
            return []
        folders = [path.name for path in self.root.iterdir() if path.name.startswith(_PREFIX)]
        return sorted(name.removeprefix(_PREFIX).replace("--", "/", 1) for name in folders)

    def near(self, name: str) -> list[str]:
        """The names that are spelt most like `name`, the likest first."""
        by_lower = {known.lower(): known for known in self.names()}
        close = get_close_matches(name.lower(), by_lower, n=_MAX_NEAR, cutoff=_CUTOFF)
        return [by_lower[each] for each in close]

    def has(self, name: str) -> bool:
        """Whether the name was ever fetched, or begun to be."""
        return self._repository(name).is_dir()

    def snapshot(self, name: str, revision: str) -> Path:
        """The files of a model at a branch, tag or commit.

        Raises:
            ModelNotFound: they never came, or not all of them; says what to do.
        """
        repository = self._repository(name)
        reference = repository / "refs" / revision
        commit = reference.read_text().strip() if reference.is_file() else revision
        snapshot = repository / "snapshots" / commit
        if not (snapshot.is_dir() and any(snapshot.iterdir())):
            raise ModelNotFound(f"{name}: {self._absence(name, revision)}")
        if lack := _lack(repository, snapshot):
            raise ModelNotFound(f"{name}: {lack}: {self._fetch(name, revision)}; {_IF_GATED}")
        return snapshot

    def _absence(self, name: str, revision: str) -> str:
        """Why there is no snapshot, and the remedy."""
        there = [one for one in _revisions(self._repository(name)) if one != revision]
        if there:
            return (
                f"the hub cache does not have its revision {revision}; it has {', '.join(there)}:"
                f" pass one as --revision, or {self._fetch(name, revision)}"
            )
        return (
            "the hub cache knows the name and has none of its files:"
            f" {self._fetch(name, revision)}; {_IF_GATED}"
        )

    def _fetch(self, name: str, revision: str) -> str:
        asked = "" if revision == MAIN else f" --revision {revision}"
        return f"run `hf download {name}{asked} --cache-dir {self.root}`"

    def _repository(self, name: str) -> Path:
        return self.root / f"{_PREFIX}{name.replace('/', '--')}"


def _lack(repository: Path, snapshot: Path) -> str | None:
    """What of a snapshot is not there; None: it looks whole."""
    names = {path.name: path.exists() for path in snapshot.iterdir()}
    if CONFIG not in names and (repository / ".no_exist" / snapshot.name / CONFIG).exists():
        return f"its repository has no {CONFIG}, so it is no model that can be served"
    broken = sorted(name for name, is_there in names.items() if not is_there)
    part = broken[0] if broken else missing_part(names)
    if part is None:
        return None
    begun = len(list((repository / "blobs").glob("*.incomplete")))
    unfinished = f" ({begun} of its downloads never finished)" if begun else ""
    return f"the hub cache has it without its {part}{unfinished}"


def _revisions(repository: Path) -> list[str]:
    """The branches and tags whose snapshots are there."""
    references = repository / "refs"
    found = [path for path in references.rglob("*") if path.is_file()]
    commits = {path: path.read_text().strip() for path in found}
    there = [path for path in found if (repository / "snapshots" / commits[path]).is_dir()]
    return sorted(str(path.relative_to(references)) for path in there)
