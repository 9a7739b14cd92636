"""What a service says of its own command line."""

import pytest

from engine_svc.settings import EngineSettings
from gateway.settings import GatewaySettings
from steeple_rpc.settings import USAGE_ERROR, ServiceSettings, load_settings
from tokenizer_svc.settings import TokenizerSettings

SERVICES: dict[str, type[ServiceSettings]] = {
    "gateway": GatewaySettings,
    "tokenizer_svc": TokenizerSettings,
    "engine_svc": EngineSettings,
}


@pytest.mark.parametrize("module", SERVICES)
def test_the_usage_is_the_command_that_was_typed(
    module: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Not the file below it."""
    with pytest.raises(SystemExit) as end:
        load_settings(SERVICES[module], ["--help"])
    assert end.value.code == 0
    assert capsys.readouterr().out.startswith(f"usage: python -m {module} ")


@pytest.mark.parametrize("module", ["tokenizer_svc", "engine_svc"])
def test_what_must_be_given_is_named(module: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as end:
        load_settings(SERVICES[module], [])
    assert end.value.code == USAGE_ERROR
    assert capsys.readouterr().err == "error: --model: it must be given\n"
