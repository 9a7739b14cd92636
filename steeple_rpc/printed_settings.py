"""A service's settings as its table of the file has them."""

from steeple_rpc.config_file import NOT_IN_FILE
from steeple_rpc.settings import ServiceSettings, table_of
from steeple_rpc.toml_table import toml_table


def printed(settings: ServiceSettings) -> str:
    """The service's table in TOML, with every setting that has a value, one a line."""
    values = settings.model_dump(mode="json", exclude_none=True, exclude=set(NOT_IN_FILE))
    return toml_table(table_of(type(settings)), values)
