"""docs/client.md and the README tell Python programs that run as they stand."""

from pathlib import Path
from typing import Any

import pytest

from tests.support.deployment import ROOT, Deployment
from tests.support.guarded import ALICE, GuardedGateway

PLAINTEXT, SECURED = "127.0.0.1:50051", "localhost:50443"


def program_of(page: Path) -> str:
    """All its Python, each line where it stands on the page, so that a traceback is right."""
    is_code, lines = False, []
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            is_code = line == "```python"
            lines.append("")
        else:
            lines.append(line if is_code else "")
    return "\n".join(lines)


def run(program: str, page: Path) -> dict[str, Any]:
    """The names that it leaves."""
    names: dict[str, Any] = {"__name__": "__main__"}
    exec(compile(program, str(page), "exec"), names)  # noqa: S102 - a page of this repository
    return names


def test_the_page_of_the_client_runs(
    real: Deployment, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """In order, one program, against the demo model; its files are where it runs."""
    page = ROOT / "docs" / "client.md"
    upstreams = [f"--tokenizer={real.tokenizer.address}", f"--engine={real.engine.address}"]
    with GuardedGateway(upstreams, tmp_path) as guarded:
        folder = guarded.authority.ca.parent
        (folder / "alice.token").write_text(guarded.tokens[ALICE] + "\n")
        guarded.authority.issue("client", "client@test.invalid")
        monkeypatch.chdir(folder)
        secured = guarded.service.address.replace("127.0.0.1", "localhost")
        program = program_of(page).replace(PLAINTEXT, real.target)
        assert program.count("assert") >= 15
        assert SECURED in program
        run(program.replace(SECURED, secured), page)


def test_the_page_shows_everything_that_a_user_imports() -> None:
    """Each method of a client is called on it."""
    program = program_of(ROOT / "docs" / "client.md")
    methods = "chat chat_stream generate generate_stream tokenize detokenize models is_ready"
    for name in (*methods.split(), "wait_until_ready", "close"):
        assert f"client.{name}(" in program, name


def test_the_readmes_example_runs(real: Deployment, capsys: pytest.CaptureFixture[str]) -> None:
    page = ROOT / "README.md"
    program = program_of(page)
    assert PLAINTEXT in program
    run(program.replace(PLAINTEXT, real.target), page)
    assert "4" in capsys.readouterr().out
