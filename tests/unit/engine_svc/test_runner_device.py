"""A device is opened or refused before anything is loaded."""

import pytest

from engine_svc.core.errors import StartupError
from engine_svc.core.runner.device import open_device


def test_the_cpu_is_always_there() -> None:
    """Under its own name."""
    assert open_device("cpu").type == "cpu"


@pytest.mark.parametrize("name", ["spyre9000", "", "cpu:x", "xpu:77"])
def test_a_device_that_is_not_there_is_refused_by_name(name: str) -> None:
    """Unknown to torch, or to this machine."""
    with pytest.raises(StartupError, match=f"device '{name}' cannot be used: .*: try cpu"):
        open_device(name)
