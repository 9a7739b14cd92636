"""A table of settings as TOML has it, fit to be shown: a password in an address is masked."""

import json
import re
from collections.abc import Mapping
from typing import Any

_PASSWORD = re.compile(r"(?<=://)([^/@\s]*)@")


def toml_table(name: str, values: Mapping[str, Any]) -> str:  # what JSON holds
    """The table, with one value a line; what is None has no line, as TOML cannot say it.

    Args:
        name: of the table.
        values: as JSON has them: texts, numbers, truths and lists of them.
    """
    lines = [f"{key} = {_toml(value)}" for key, value in values.items() if value is not None]
    return "\n".join([f"[{name}]", *lines, ""])


def _toml(value: Any) -> str:  # as above
    if isinstance(value, list):
        return f"[{', '.join(map(_toml, value))}]"
    if isinstance(value, str):
        # Of what JSON escapes, TOML knows all but the pairs of surrogates.
        return json.dumps(_PASSWORD.sub("***@", value), ensure_ascii=False)
    return json.dumps(value)
