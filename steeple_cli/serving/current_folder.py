"""Where services are started from."""

from pathlib import Path

from steeple_rpc.refused import SettingRefused


def check_current_folder() -> None:
    """Refuse to start services in a folder that is gone: Python itself looks around there.

    Raises:
        SettingRefused: this process is in such a one.
    """
    try:
        Path.cwd()
    except OSError as error:
        raise SettingRefused(
            f"the current folder cannot be read: {error.strerror}: change to one that is there"
        ) from None
