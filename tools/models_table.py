"""The tables of docs/models.md from the code.

`python -m tools.models_table` prints them; with --write it puts them there.
"""

import sys
from pathlib import Path

from engine_svc.core.models.config_fields import WITHOUT_EFFECT, Field, Verdict
from engine_svc.core.models.family import Family, Task
from engine_svc.core.models.refused import REFUSED
from engine_svc.core.models.registry import FAMILIES
from tools.markdown import table

DOCUMENT = Path(__file__).resolve().parents[1] / "docs" / "models.md"
MARK = "<!-- the tables below are written by tools/models_table.py -->\n"


def tables() -> str:
    """Everything below the mark: fields, notes, refused architectures."""
    parts = [
        *(_fields(task) for task in Task),
        _architectures(),
        *(_notes(task) for task in Task),
        _ignored(),
        _refused(),
    ]
    return "\n".join(line for part in parts for line in (*part, ""))


def written(text: str) -> str:
    """The document with its tables as the code has them."""
    return text.partition(MARK)[0] + MARK + "\n" + tables()


def _columns(task: Task) -> dict[str, Family]:
    """A family for each column: the heads of one model share their fields."""
    families = (family for family in FAMILIES.values() if family.task is task)
    return {_column(family.architecture): family for family in families}


def _column(architecture: str) -> str:
    return architecture.partition("For")[0].removesuffix("Model")


def _names(task: Task) -> list[str]:
    return sorted({name for family in _columns(task).values() for name in family.fields})


def _fields(task: Task) -> list[str]:
    columns = _columns(task)
    rows = [
        [f"`{name}`", *(_cell(family.fields.get(name)) for family in columns.values())]
        for name in _names(task)
    ]
    return [f"## Fields of {task.value}s", "", *table(["Field", *columns], rows)]


def _cell(field: Field | None) -> str:
    return "-" if field is None else field.verdict.value


def _architectures() -> list[str]:
    rows = [
        [f"`{name}`", family.task.value, _column(name)] for name, family in sorted(FAMILIES.items())
    ]
    return ["## Architectures", "", *table(["Architecture", "Task", "Column"], rows)]


def _notes(task: Task) -> list[str]:
    rows = [
        [f"`{name}`", verdict.value, note, ", ".join(sorted(columns))]
        for name in _names(task)
        for (verdict, note), columns in _by_note(task, name).items()
    ]
    head = ["Field", "Verdict", "Note", "In"]
    return [f"## Why: {task.value}s", "", *table(head, rows)]


def _by_note(task: Task, name: str) -> dict[tuple[Verdict, str], list[str]]:
    found: dict[tuple[Verdict, str], list[str]] = {}
    for column, family in _columns(task).items():
        field = family.fields.get(name)
        if field is not None and field.note:
            found.setdefault((field.verdict, field.note), []).append(column)
    return found


def _ignored() -> list[str]:
    names = ", ".join(f"`{name}`" for name in sorted(WITHOUT_EFFECT))
    return ["## Fields that change nothing, wherever no table names them", "", names]


def _refused() -> list[str]:
    rows = [[f"`{name}`", reason] for name, reason in REFUSED.items()]
    return ["## Architectures that are refused", "", *table(["Architecture", "Why"], rows)]


if __name__ == "__main__":
    if "--write" in sys.argv[1:]:
        DOCUMENT.write_text(written(DOCUMENT.read_text()))
    else:
        print(tables())
