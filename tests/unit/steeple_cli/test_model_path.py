"""Where a model's files are found, and what is said when they are not."""

from pathlib import Path

import pytest

from steeple_cli.model_path import ModelNotFound, find_model
from steeple_demo import model_dir

COMMIT = "0123abcd"


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty hub cache."""
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.delenv("HF_HOME", raising=False)
    return tmp_path / "hub"


def cached(cache: Path, name: str, *, commit: str = COMMIT) -> Path:
    """Put a snapshot of a model into the cache, as the hub's library lays it out."""
    repository = cache / f"models--{name.replace('/', '--')}"
    (repository / "refs").mkdir(parents=True)
    (repository / "refs" / "main").write_text(commit)
    snapshot = repository / "snapshots" / COMMIT
    snapshot.mkdir(parents=True)
    return snapshot


def test_no_name_means_the_demo_model() -> None:
    assert find_model(None) == model_dir()


def test_a_directory_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, because the services run elsewhere."""
    (tmp_path / "model").mkdir()
    monkeypatch.chdir(tmp_path)
    assert find_model(str(tmp_path / "model")) == (tmp_path / "model").resolve()
    assert find_model("model") == (tmp_path / "model").resolve()
    monkeypatch.setenv("HOME", str(tmp_path))
    assert find_model("~/model") == (tmp_path / "model").resolve()


def test_a_name_is_found_in_the_hub_cache(cache: Path) -> None:
    snapshot = cached(cache, "ibm-granite/granite-3b")
    assert find_model("ibm-granite/granite-3b") == snapshot


@pytest.mark.parametrize("variable", ["HF_HOME", "HOME"])
def test_the_cache_is_where_the_hub_puts_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, variable: str
) -> None:
    for name in ("HF_HUB_CACHE", "HF_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv(variable, str(tmp_path))
    home = tmp_path / ".cache" / "huggingface" if variable == "HOME" else tmp_path
    snapshot = cached(home / "hub", "org/name")
    assert find_model("org/name") == snapshot


def test_the_cache_may_be_below_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", "~/models")
    snapshot = cached(tmp_path / "models", "org/name")
    assert find_model("org/name") == snapshot


def test_a_directory_comes_before_the_cache(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(cache, "org/name")
    (tmp_path / "org" / "name").mkdir(parents=True)
    monkeypatch.chdir(tmp_path)
    assert find_model("org/name") == (tmp_path / "org" / "name").resolve()


@pytest.mark.parametrize(
    "name", ["nobody", "org/none", "/no/such/dir", "./none", "../none", "a/b/c", "org/..", ""]
)
def test_what_is_not_there_names_the_remedy(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    """An empty name too: it must not become the current directory."""
    cache.mkdir()
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ModelNotFound, match="nothing is downloaded") as caught:
        find_model(name)
    assert str(cache) in str(caught.value)


def test_a_download_that_never_finished_is_not_there(cache: Path) -> None:
    """A reference without its snapshot, and a repository without a reference."""
    cached(cache, "org/half", commit="gone")
    without_reference = cached(cache, "org/none").parents[1] / "refs" / "main"
    without_reference.unlink()
    for name in ("org/half", "org/none"):
        with pytest.raises(ModelNotFound):
            find_model(name)
