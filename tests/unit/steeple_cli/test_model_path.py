"""Where a model's files are found, and what is said when they are not."""

from pathlib import Path

import pytest

from steeple_cli.locating.model_missing import ModelNotFound
from steeple_cli.locating.model_path import find_model
from steeple_demo import model_dir
from tests.support.lfs_pointer import LFS_POINTER

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
    return model_in(snapshot)


def model_in(directory: Path, *, without: str = "") -> Path:
    """Make a directory with the names of a model's files."""
    directory.mkdir(parents=True)
    for name in {"config.json", "tokenizer.json", "model.safetensors"} - {without}:
        (directory / name).write_text("{}")
    return directory


def test_no_name_means_the_demo_model() -> None:
    assert find_model(None) == model_dir()


def test_a_directory_is_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Absolute, because the services run elsewhere."""
    model_in(tmp_path / "model")
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
    model_in(tmp_path / "org" / "name")
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


def refusal(model: str | Path, **options: object) -> str:
    with pytest.raises(ModelNotFound) as caught:
        find_model(str(model), **options)  # type: ignore[arg-type] # by name
    return str(caught.value)


def test_a_misspelt_name_is_told_with_those_like_it(cache: Path) -> None:
    """In any case of the letters; not with those that are unlike."""
    for name in ("ibm-granite/granite-3b", "ibm-granite/granite-8b", "org/other"):
        cached(cache, name)
    told = refusal("IBM-granite/granit-3b")
    assert "did you mean ibm-granite/granite-3b or ibm-granite/granite-8b, which it has?" in told
    assert "org/other" not in told


def test_a_revision_is_a_branch_or_a_commit(cache: Path) -> None:
    snapshot = cached(cache, "org/name")
    assert find_model("org/name", revision=COMMIT) == snapshot
    assert find_model("org/name", revision="main") == snapshot
    told = refusal("org/name", revision="v2")
    assert "does not have its revision v2; it has main: pass one as --revision" in told
    assert "`hf download org/name --revision v2 --cache-dir" in told


def test_another_cache_may_be_named(tmp_path: Path, cache: Path) -> None:
    snapshot = cached(tmp_path / "mine", "org/name")
    assert find_model("org/name", hub_cache=tmp_path / "mine") == snapshot
    assert "it does not have it" in refusal("org/name")


def test_a_gated_model_that_never_came_is_told_so(cache: Path) -> None:
    """A repository with nothing in it; a reference without its snapshot."""
    (cache / "models--org--gated").mkdir(parents=True)
    cached(cache, "org/half", commit="gone")
    for name in ("org/gated", "org/half"):
        told = refusal(name)
        assert f"{name}: the hub cache knows the name and has none of its files" in told
        assert "if it is gated, accept its terms on its page and log in" in told
        assert f"`hf download {name} --cache-dir {cache}`" in told


@pytest.mark.parametrize(
    ("missing", "told"),
    [("config.json", "without its config.json"), ("model.safetensors", "without its weights")],
)
def test_a_download_that_never_finished_is_told_so(cache: Path, missing: str, told: str) -> None:
    """With how many files were under way."""
    snapshot = cached(cache, "org/name")
    (snapshot / missing).unlink()
    blobs = snapshot.parents[1] / "blobs"
    blobs.mkdir()
    (blobs / "0a1b.incomplete").touch()
    assert f"has it {told} (1 of its downloads never finished): run" in refusal("org/name")


def test_a_link_to_a_blob_that_is_gone_is_named(cache: Path) -> None:
    snapshot = cached(cache, "org/name")
    (snapshot / "tokenizer.json").unlink()
    (snapshot / "tokenizer.json").symlink_to("../../blobs/gone")
    assert "without its tokenizer.json: run" in refusal("org/name")


def test_a_repository_without_a_configuration_is_no_model(cache: Path) -> None:
    """The hub's library notes what it asked for in vain."""
    snapshot = cached(cache, "org/gguf")
    (snapshot / "config.json").unlink()
    noted = snapshot.parents[1] / ".no_exist" / COMMIT
    noted.mkdir(parents=True)
    (noted / "config.json").touch()
    assert "its repository has no config.json, so it is no model" in refusal("org/gguf")


def test_files_that_git_lfs_has_not_fetched_are_named(tmp_path: Path) -> None:
    model = model_in(tmp_path / "clone")
    (model / "model.safetensors").write_text(LFS_POINTER)
    told = refusal(model)
    assert told.startswith(f"model.safetensors in {model} stands for a file that Git LFS")
    assert told.endswith(f"run `git -C {model} lfs pull`")


def test_a_directory_without_a_configuration_is_refused(tmp_path: Path) -> None:
    model = model_in(tmp_path / "part", without="config.json")
    assert refusal(model).startswith(f"{model} has no config.json: pass the directory of a whole")


@pytest.mark.parametrize("inside", ["mine", "snapshots/0123abcd"])
def test_the_directory_above_the_model_is_told_which_was_meant(tmp_path: Path, inside: str) -> None:
    """A folder of models, or the hub cache's own for one."""
    model = model_in(tmp_path / "models" / inside)
    assert refusal(tmp_path / "models").endswith(f"did you mean {model}?")
