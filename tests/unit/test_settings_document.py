"""docs/configuration.md tells the settings that there are, and its examples work."""

import os
import re
import tomllib
from pathlib import Path

from engine_svc.settings import EngineSettings
from gateway.settings import GatewaySettings
from steeple_cli.serving.defaults import file_defaults
from steeple_rpc.settings import load_settings
from tools.settings_table import SERVICES, written

ROOT = Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "configuration.md").read_text()


def test_the_tables_are_those_of_the_code() -> None:
    """Else: `python -m tools.settings_table --write`."""
    assert written(PAGE) == PAGE


def test_every_setting_of_every_service_is_in_a_table() -> None:
    for settings in SERVICES.values():
        for name in settings.model_fields:
            assert f"| `{name}` |" in PAGE


def test_the_file_of_the_page_is_accepted(tmp_path: Path) -> None:
    """By every program that reads it."""
    found = re.search(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert found is not None
    path = tmp_path / "steeple.toml"
    path.write_text(found[1])
    said = tomllib.loads(found[1])
    assert file_defaults([f"--config={path}"], {}) == said["serve"]
    gateway = load_settings(GatewaySettings, [f"--config={path}"])
    assert os.fspath(gateway.token_hashes or "") == said["gateway"]["token_hashes"]
    engine = load_settings(EngineSettings, ["--model=/m", f"--config={path}"])
    assert (engine.max_model_len, engine.kv_cache_bytes) == (16 << 10, 4 << 30)
