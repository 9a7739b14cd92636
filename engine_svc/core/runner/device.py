"""Opens the torch device that a setting names."""

import torch

from engine_svc.core.errors import StartupError


def open_device(name: str) -> torch.device:
    """The device, once memory could be had on it.

    Raises:
        StartupError: torch does not know the name, or this machine or build has no such device.
    """
    try:
        device = torch.device(name)
        torch.empty(1, device=device)
    # What torch raises depends on the device: an assertion where its build lacks one.
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        first_line = str(error).partition("\n")[0]
        raise StartupError(f"device {name!r} cannot be used: {first_line}: try cpu") from error
    return device
