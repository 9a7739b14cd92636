"""The three services, and the way of a token through them.

The picture has a ground of its own, so that it can be read on dark
pages, too, and names fonts that every system has.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from html import escape
from pathlib import Path

WIDTH, HEIGHT = 980, 430
INK, FAINT, LINE, WAY = "#1f2933", "#52606d", "#9aa5b1", "#0b69a3"
LINE_PX = 18


@dataclass(frozen=True, slots=True, kw_only=True)
class Box:
    """A service, or what stands inside or beside one. Lengths are pixels from the upper left."""

    x: int
    y: int
    width: int
    height: int
    title: str
    lines: Sequence[str] = ()
    fill: str = "#f5f7fa"


@dataclass(frozen=True, slots=True, kw_only=True)
class Step:
    """One step of the way: an arrow with its number and what travels."""

    number: int
    path: tuple[int, int, int, int]
    """From x, y to x, y."""
    text_at: tuple[int, int]
    """Where the middle of its number stands; the words follow."""
    words: str


BOXES = (
    Box(x=24, y=150, width=150, height=96, title="Your client", lines=("any language,", "gRPC")),
    Box(
        x=330,
        y=130,
        width=180,
        height=136,
        title="Gateway",
        lines=(
            "checks and admits",
            "chooses an engine",
            "carries answers over",
            "to another engine",
        ),
        fill="#e6f0fa",
    ),
    Box(
        x=700,
        y=24,
        width=256,
        height=96,
        title="Tokenizer service",
        lines=("chat templates", "text to token ids and back"),
        fill="#e3f6ec",
    ),
    Box(x=700, y=196, width=256, height=210, title="Engine service", fill="#fdf1e0"),
    Box(x=720, y=232, width=216, height=50, title="Front", lines=("speaks gRPC",)),
    Box(
        x=720,
        y=316,
        width=216,
        height=72,
        title="Core",
        lines=("schedules each step,", "runs the model on a device"),
    ),
)
STEPS = (
    Step(number=1, path=(174, 182, 328, 182), text_at=(196, 164), words="a question"),
    Step(number=2, path=(510, 150, 698, 62), text_at=(556, 90), words="text"),
    Step(number=3, path=(698, 84, 510, 172), text_at=(606, 146), words="token ids"),
    Step(number=4, path=(510, 206, 718, 246), text_at=(562, 200), words="token ids"),
    Step(number=5, path=(800, 282, 800, 315), text_at=(780, 298), words=""),
    Step(number=6, path=(856, 316, 856, 284), text_at=(876, 298), words=""),
    Step(number=7, path=(718, 268, 510, 228), text_at=(556, 266), words="new token ids"),
    Step(number=8, path=(328, 216, 174, 216), text_at=(196, 236), words="text as it grows"),
)
CAPTION = (
    "5, 6: once per step. The core computes one token for every running answer together.",
    "Between 7 and 8 the new ids go through the tokenizer service, like 2 and 3.",
)


def drawn() -> str:
    """The picture as SVG."""
    parts = [*_frame(), *(line for box in BOXES for line in _box(box))]
    parts += [line for step in STEPS for line in _step(step)]
    parts += [_text(24, 384 + LINE_PX * i, line, 13, FAINT) for i, line in enumerate(CAPTION)]
    return "\n".join([*parts, "</svg>", ""])


def _frame() -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img"'
        f' width="{WIDTH}" height="{HEIGHT}" font-family="Helvetica, Arial, sans-serif">'
    )
    yield "<title>A client, the gateway, the tokenizer service and the engine service</title>"
    yield (
        '<defs><marker id="tip" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7"'
        f' markerHeight="7" orient="auto"><path d="M0 0L10 5L0 10z" fill="{WAY}"/></marker></defs>'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" rx="12" fill="#ffffff"/>'


def _box(box: Box) -> Iterator[str]:
    yield (
        f'<rect x="{box.x}" y="{box.y}" width="{box.width}" height="{box.height}" rx="8"'
        f' fill="{box.fill}" stroke="{LINE}"/>'
    )
    yield _text(box.x + 14, box.y + 23, box.title, 15, INK, weight="bold")
    for index, line in enumerate(box.lines):
        yield _text(box.x + 14, box.y + 42 + LINE_PX * index, line, 13, FAINT)


def _step(step: Step) -> Iterator[str]:
    x1, y1, x2, y2 = step.path
    yield (
        f'<line x1="{x1}" y1="{y1}" x2="{x2}" y2="{y2}" stroke="{WAY}" stroke-width="1.8"'
        ' marker-end="url(#tip)"/>'
    )
    x, y = step.text_at
    yield f'<circle cx="{x}" cy="{y}" r="9" fill="{WAY}"/>'
    yield _text(x, y + 4, str(step.number), 12, "#ffffff", anchor="middle")
    if step.words:
        yield _text(x + 14, y + 4, step.words, 13, INK)


def _text(  # noqa: PLR0913 - what a text of a drawing needs
    x: int,
    y: int,
    text: str,
    size: int,
    fill: str,
    *,
    weight: str = "normal",
    anchor: str = "start",
) -> str:
    return (
        f'<text x="{x}" y="{y}" font-size="{size}" fill="{fill}" font-weight="{weight}"'
        f' text-anchor="{anchor}">{escape(text)}</text>'
    )


def draw(path: Path) -> None:
    """Write it as SVG."""
    path.write_text(drawn(), encoding="utf-8")
