"""Print what one service needs beside Steeple itself, as pyproject.toml on stdin tells it.

`python3 tools/requirements_of.py EXTRA < pyproject.toml`. Images install it before the code is
copied, so that a change of the code does not install torch again.
"""

import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence

OWN_EXTRAS = re.compile(r"steeple\[(.+)\]")


def requirements_of(extra: str, pyproject: str) -> list[str]:
    """The requirements of everybody and of the extra, in the words of the file.

    Raises:
        KeyError: there is no such extra.
    """
    project = tomllib.loads(pyproject)["project"]
    return [*project["dependencies"], *_followed(extra, project["optional-dependencies"])]


def _followed(extra: str, extras: Mapping[str, Sequence[str]]) -> Iterator[str]:
    """An extra's requirements, with those of the extras of ours that it names."""
    for requirement in extras[extra]:
        if named := OWN_EXTRAS.fullmatch(requirement):
            for other in named[1].split(","):
                yield from _followed(other, extras)
        else:
            yield requirement


if __name__ == "__main__":
    print(*requirements_of(sys.argv[1], sys.stdin.read()), sep="\n")
