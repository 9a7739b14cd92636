"""Who lacks an extra is told the command that brings it, in one line."""

import re
import subprocess
import sys
import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from steeple_rpc.extras import EXTRAS, missing_extra
from steeple_rpc.settings import USAGE_ERROR

ROOT = Path(__file__).resolve().parents[3]
PYPROJECT: Mapping[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))
SERVICES = [("tokenizer", module) for module in EXTRAS["tokenizer"]] + [
    ("engine", module) for module in EXTRAS["engine"]
]


def own_modules(extra: str) -> set[str]:
    """What pyproject.toml says that an extra brings itself, as modules."""
    named = PYPROJECT["tool"]["deptry"]["package_module_name_map"]
    wanted = PYPROJECT["project"]["optional-dependencies"][extra]
    names = {re.split(r"[<>=\[]", line)[0] for line in wanted}
    return {named.get(name, name) for name in names - {"steeple"}}


@pytest.mark.parametrize("extra", EXTRAS)
def test_an_extra_is_known_by_what_it_brings(extra: str) -> None:
    assert set(EXTRAS[extra]) == own_modules(extra)


@pytest.mark.parametrize("extra", EXTRAS)
def test_nothing_is_said_where_the_extra_is_installed(extra: str) -> None:
    assert missing_extra(extra, needed_by="this") is None


def test_all_that_is_missing_is_named_with_the_remedy(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "jinja2", None)
    monkeypatch.setitem(sys.modules, "tokenizers", None)
    assert missing_extra("tokenizer", needed_by="this") == (
        "this needs jinja2 and tokenizers, not installed here: pip install 'steeple[tokenizer]'"
        " (in a checkout: '.[tokenizer]')"
    )


@pytest.mark.parametrize(("extra", "module"), SERVICES)
def test_a_service_without_its_extra_says_so_and_ends_with_2(extra: str, module: str) -> None:
    """In one line, without a traceback, whichever of its modules is missing."""
    program = (
        f"import sys; sys.modules['{module}'] = None;"
        f"from {extra}_svc.__main__ import main; sys.exit(main())"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == USAGE_ERROR
    assert done.stderr == (
        f"error: the {extra} service needs {module}, not installed here:"
        f" pip install 'steeple[{extra}]' (in a checkout: '.[{extra}]')\n"
    )
