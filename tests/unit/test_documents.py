"""The documents lead where they say, and the site shows all of them."""

import re
import subprocess
from pathlib import Path

import pytest

from tools.markdown import anchors, link_targets
from tools.pictures.overview import drawn

ROOT = Path(__file__).resolve().parents[2]
SITE = (ROOT / "mkdocs.yml").read_text(encoding="utf-8")
FROM_THE_TOP = {
    "index.md": "README.md",
    "architecture.md": "ARCHITECTURE.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
    "reporting.md": "SECURITY.md",
}


def documents() -> list[str]:
    """Every page that belongs to the repository, or is about to."""
    command = ["git", "ls-files", "--cached", "--others", "--exclude-standard", "*.md"]
    told = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    return [name for name in sorted(told.stdout.split()) if (ROOT / name).is_file()]


def broken(document: Path) -> list[str]:
    """The links of a page that lead nowhere."""
    targets = (t for t in link_targets(document.read_text(encoding="utf-8")) if "://" not in t)
    return [target for target in targets if not leads_somewhere(document, target)]


def leads_somewhere(document: Path, target: str) -> bool:
    path, _, anchor = target.partition("#")
    place = document.parent / path if path else document
    if not place.exists():
        return False
    return not anchor or anchor in anchors(place.read_text(encoding="utf-8"))


@pytest.mark.parametrize("name", documents())
def test_every_link_leads_to_a_file_and_a_heading(name: str) -> None:
    assert broken(ROOT / name) == []


def test_a_link_to_no_file_and_one_to_no_heading_are_found(tmp_path: Path) -> None:
    page = tmp_path / "page.md"
    page.write_text(
        "# A `b_c` d\n[x](page.md#a-b_c-d) [y\ny](none.md) ![z](#no)\n"
        "`[q](none)`\n```\n[q](none)\n```\n"
    )
    assert broken(page) == ["none.md", "#no"]


def test_every_page_of_docs_has_its_place_on_the_site() -> None:
    """And the site names no page that is not there."""
    named = set(re.findall(r": ([\w./-]+\.md)$", SITE, re.MULTILINE))
    docs = {path.relative_to(ROOT / "docs").as_posix() for path in (ROOT / "docs").rglob("*.md")}
    assert named == docs | FROM_THE_TOP.keys()


def test_the_readme_is_short() -> None:
    """Two or three screens: who wants more finds it in docs/."""
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 150


def test_the_picture_is_the_one_that_is_drawn() -> None:
    """`make pictures ONLY=overview.svg` mends it."""
    assert (ROOT / "docs" / "overview.svg").read_text(encoding="utf-8") == drawn()
