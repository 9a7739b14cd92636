"""Draws the pictures of docs/ again: `python -m tools.pictures [NAME ...]`, without a name all.

Each shows a real run of the code as it is, on this machine.
"""

import argparse
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from tools.pictures import bench, dashboard, overview, scheduling, top

DOCS = Path(__file__).resolve().parents[2] / "docs"
PICTURES: Final[Mapping[str, Callable[[Path], None]]] = {
    "bench.png": bench.draw,
    "dashboard.png": dashboard.draw,
    "overview.svg": overview.draw,
    "scheduling.png": scheduling.draw,
    "top.svg": top.draw,
}
"""By their names in docs/."""


def main() -> None:
    """Read the command line and draw."""
    parser = argparse.ArgumentParser(prog="python -m tools.pictures", description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", help=", ".join(PICTURES))
    names = parser.parse_args().names
    if unknown := [name for name in names if name not in PICTURES]:
        parser.error(f"there is no {unknown[0]}; there are {', '.join(PICTURES)}")
    for name in names or PICTURES:
        PICTURES[name](DOCS / name)
        print(f"docs/{name}")


if __name__ == "__main__":
    main()
