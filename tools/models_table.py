"""Prints the tables of docs/models.md from the code, or with --write puts them there."""

import sys
from pathlib import Path

from engine_svc.core.models.config_fields import WITHOUT_EFFECT, Field, Verdict
from engine_svc.core.models.refused import REFUSED
from engine_svc.core.models.registry import FAMILIES

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "models.md"
MARK = "<!-- the tables below are written by tools/models_table.py -->\n"


def tables() -> str:
    """Everything below the mark: fields, notes, refused architectures."""
    return "\n".join([*_fields(), "", *_notes(), "", *_ignored(), "", *_refused(), ""])


def written(text: str) -> str:
    """The document with its tables as the code has them."""
    return text.partition(MARK)[0] + MARK + "\n" + tables()


def _names() -> list[str]:
    return sorted({name for family in FAMILIES.values() for name in family.fields})


def _fields() -> list[str]:
    columns = [name.removesuffix("ForCausalLM") for name in FAMILIES]
    rows = [
        [f"`{name}`", *(_cell(family.fields.get(name)) for family in FAMILIES.values())]
        for name in _names()
    ]
    return ["## Fields", "", *_table(["Field", *columns], rows)]


def _cell(field: Field | None) -> str:
    return "-" if field is None else field.verdict.value


def _notes() -> list[str]:
    rows = [
        [f"`{name}`", verdict.value, note, ", ".join(sorted(columns))]
        for name in _names()
        for (verdict, note), columns in _by_note(name).items()
    ]
    return ["## Why", "", *_table(["Field", "Verdict", "Note", "In"], rows)]


def _by_note(name: str) -> dict[tuple[Verdict, str], list[str]]:
    found: dict[tuple[Verdict, str], list[str]] = {}
    for architecture, family in FAMILIES.items():
        field = family.fields.get(name)
        if field is not None and field.note:
            key = field.verdict, field.note
            found.setdefault(key, []).append(architecture.removesuffix("ForCausalLM"))
    return found


def _ignored() -> list[str]:
    names = ", ".join(f"`{name}`" for name in sorted(WITHOUT_EFFECT))
    return ["## Fields that change nothing, in every family", "", names]


def _refused() -> list[str]:
    rows = [[f"`{name}`", reason] for name, reason in REFUSED.items()]
    return ["## Architectures that are refused", "", *_table(["Architecture", "Why"], rows)]


def _table(head: list[str], rows: list[list[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cells)} |" for cells in lines]


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(written(DOCUMENT.read_text()))
    else:
        print(tables())
