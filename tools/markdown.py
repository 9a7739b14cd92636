"""Links, headings and tables of a Markdown page, as code hosts read them."""

import re
from collections.abc import Callable, Iterator, Sequence

_LINK = re.compile(r"(?P<text>!?\[(?:[^\[\]]|\[[^\]]*\])*\])\((?P<target>[^()\s]+)\)")
_FENCE = re.compile(r"^\s*(```|~~~)")
_HEADING = re.compile(r"^#{1,6} +(.+?)(?: +#+)?$", re.MULTILINE)
_NO_PART_OF_AN_ANCHOR = re.compile(r"[^\w\- ]")
_CODE = re.compile(r"`[^`]*`")


def parts(text: str) -> Iterator[tuple[bool, str]]:
    """The page in parts that make it up, each with whether it is prose or a code block."""
    part, fenced = "", False
    for line in text.splitlines(keepends=True):
        is_fence = _FENCE.match(line) is not None
        if is_fence and not fenced:
            yield True, part
            part = ""
        part += line
        if is_fence and fenced:
            yield False, part
            part = ""
        fenced ^= is_fence
    yield not fenced, part


def link_targets(text: str) -> Iterator[str]:
    """Where its links and pictures lead."""
    for is_prose, part in parts(text):
        if is_prose:
            yield from (found["target"] for found in _LINK.finditer(_CODE.sub("", part)))


def with_links(text: str, told: Callable[[str, str], str]) -> str:
    """The page with other links.

    Args:
        text: the page.
        told: gets what stands in (and with) the brackets and the target; gives what to write.
    """
    return "".join(
        _LINK.sub(lambda found: told(found["text"], found["target"]), part) if is_prose else part
        for is_prose, part in parts(text)
    )


def anchors(text: str) -> set[str]:
    """What a link to a heading of the page can name after its #."""
    found: dict[str, int] = {}
    names = set()
    prose = (part for is_prose, part in parts(text) if is_prose)
    for heading in (line for part in prose for line in _HEADING.finditer(part)):
        name = _anchor(heading[1])
        names.add(f"{name}-{found[name]}" if name in found else name)
        found[name] = found.get(name, 0) + 1
    return names


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """The lines of a table; a bar within a cell stays one."""
    lines = [head, ["---"] * len(head), *rows]
    return [f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in row)} |" for row in lines]


def _anchor(heading: str) -> str:
    shown = _LINK.sub(lambda link: link["text"].strip("![]"), heading)
    return _NO_PART_OF_AN_ANCHOR.sub("", shown.lower()).replace(" ", "-")
