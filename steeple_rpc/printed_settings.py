"""Settings as the file would have them, fit to be shown: a password in an address is masked."""

import json
import re
from typing import Any

from steeple_rpc.settings import ServiceSettings, table_of

_PASSWORD = re.compile(r"(?<=://)([^/@\s]*)@")
_ABOUT_THE_FILE = {"config", "print_config"}


def printed(settings: ServiceSettings) -> str:
    """The service's table in TOML, with every setting that has a value, one a line."""
    values = settings.model_dump(mode="json", exclude_none=True, exclude=_ABOUT_THE_FILE)
    lines = [f"{name} = {_toml(value)}" for name, value in values.items()]
    return "\n".join([f"[{table_of(type(settings))}]", *lines, ""])


def _toml(value: Any) -> str:  # as JSON has them: texts, numbers, truths and lists
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # Of what JSON escapes, TOML knows all but the pairs of surrogates.
        return json.dumps(_PASSWORD.sub("***@", value), ensure_ascii=False)
    return json.dumps(value)
