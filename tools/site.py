"""What the site's builder is told beyond mkdocs.yml: see https://www.mkdocs.org/user-guide/plugins/.

Pages link to each other as files of the repository, so that they can be read there. On the site
the pages from its top stand beside those of docs/; what is no page has its place in the source.
"""

import posixpath
import re
from collections.abc import Mapping
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files
from mkdocs.structure.pages import Page

from tools.markdown import with_links

ROOT = Path(__file__).resolve().parents[1]
TOP_PAGES: Mapping[str, str] = {
    "README.md": "index.md",
    "ARCHITECTURE.md": "architecture.md",
    "CHANGELOG.md": "changelog.md",
    "CONTRIBUTING.md": "contributing.md",
    "SECURITY.md": "reporting.md",
}
"""Files at the top of the repository, and the pages that they become."""
_LOADED = re.compile(
    r"""(?:\ssrc=|<link[^>]*\srel="?(?:stylesheet|preload|preconnect)[^>]*href=)"?(https?://[^"\s>]+)"""
)


def on_files(files: Files, config: MkDocsConfig) -> Files:
    """Add the pages from the top of the repository."""
    for name, page in TOP_PAGES.items():
        content = (ROOT / name).read_text(encoding="utf-8")
        files.append(File.generated(config, page, content=content))
    return files


def on_page_markdown(markdown: str, *, page: Page, config: MkDocsConfig, files: Files) -> str:
    """The page with the links that are right on the site."""
    source_url = str(config.extra.get("source_url") or "")
    here = posixpath.dirname(_path_in_repository(page.file.src_uri))

    def told(text: str, target: str) -> str:
        path, hash_sign, anchor = target.partition("#")
        if not path or "://" in path or path.startswith("mailto:"):
            return f"{text}({target})"
        path = posixpath.normpath(posixpath.join(here, path))
        place = _page_of(path)
        if files.get_file_from_path(place) is not None:
            return f"{text}({place}{hash_sign}{anchor})"
        if source_url:
            return f"{text}({source_url.rstrip('/')}/{path})"
        bare = text.strip("[]")
        return bare if bare.strip("`") in path else f"{bare} (`{path}`)"

    return with_links(markdown, told)


def on_post_page(output: str, *, page: Page, config: MkDocsConfig) -> str:  # noqa: ARG001 - mkdocs'
    """Refuse what a reader's browser would have to load from somewhere else."""
    if (found := _LOADED.search(output)) is not None:
        raise PluginError(f"{page.file.src_uri} loads {found[1]}: put it into docs/")
    return output


def _path_in_repository(page: str) -> str:
    tops = {page: name for name, page in TOP_PAGES.items()}
    return tops.get(page, f"docs/{page}")


def _page_of(path: str) -> str:
    """Where a file of the repository would be on the site, whose pages lie in one folder."""
    return TOP_PAGES.get(path, path.removeprefix("docs/"))
