"""A service's settings as its table of the file has them."""

from steeple_rpc.settings import ServiceSettings, table_of
from steeple_rpc.toml_table import toml_table

_ABOUT_THE_FILE = {"config", "print_config"}


def printed(settings: ServiceSettings) -> str:
    """The service's table in TOML, with every setting that has a value, one a line."""
    values = settings.model_dump(mode="json", exclude_none=True, exclude=_ABOUT_THE_FILE)
    return toml_table(table_of(type(settings)), values)
