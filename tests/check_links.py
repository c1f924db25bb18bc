"""Find links in the documents that lead nowhere: missing files, missing headings, missing lines.

Only links within the repository are followed; nothing is fetched. `make check` runs it.
"""

import re
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple
from urllib.parse import unquote, urlsplit

from markdown_it import MarkdownIt
from markdown_it.token import Token

HTML_LINK = re.compile(r"""\b(?:href|src)\s*=\s*["']([^"']*)["']""", re.IGNORECASE)
HTML_ANCHOR = re.compile(r"""\b(?:id|name)\s*=\s*["']([^"']*)["']""", re.IGNORECASE)
LINES = re.compile(r"L(\d+)(?:-L(\d+))?")


class Link(NamedTuple):
    """A link and the line of the paragraph that it stands in."""

    line: int
    target: str


def slug(heading: str) -> str:
    """Name a heading the way GitHub does.

    >>> slug("How sure are we? p10, p50 & p90"), slug("`stream top`")
    ('how-sure-are-we-p10-p50--p90', 'stream-top')
    """
    return re.sub(r"[^\w\- ]", "", heading.strip().lower()).replace(" ", "-")


@cache
def tokens(document: Path) -> tuple[Token, ...]:
    """Read a document's blocks."""
    return tuple(MarkdownIt("commonmark").enable("table").parse(document.read_text("utf-8")))


def links(document: Path) -> Iterator[Link]:
    """List what a document links to, pictures and HTML included, code blocks not."""
    line = 0
    for block in tokens(document):
        line = block.map[0] + 1 if block.map else line
        for token in (block, *(block.children or ())):
            for name in ("href", "src"):
                if name in token.attrs:
                    yield Link(line, str(token.attrs[name]))
            if token.type in {"html_block", "html_inline"}:
                yield from (Link(line, target) for target in HTML_LINK.findall(token.content))


@cache
def anchors(document: Path) -> frozenset[str]:
    """List the places of a document that a link can point at."""
    found: set[str] = set()
    seen: Counter[str] = Counter()
    blocks = tokens(document)
    for before, block in zip((None, *blocks), blocks, strict=False):
        if before is not None and before.type == "heading_open":
            text = "".join(
                t.content for t in block.children or () if t.type in {"text", "code_inline"}
            )
            name = slug(text)
            found.add(f"{name}-{seen[name]}" if seen[name] else name)
            seen[name] += 1
        for token in (block, *(block.children or ())):
            if token.type in {"html_block", "html_inline"}:
                found.update(HTML_ANCHOR.findall(token.content))
    return frozenset(found)


def complaint(root: Path, document: Path, target: str) -> str | None:
    """Say what is wrong with a link, if anything is."""
    parts = urlsplit(target)
    if parts.scheme or parts.netloc:
        return None
    start = root if parts.path.startswith("/") else document.parent
    path = (start / unquote(parts.path).lstrip("/")).resolve() if parts.path else document
    if not path.is_relative_to(root):
        return "leads out of the repository"
    if not path.exists():
        return "no such file"
    return wrong_place(path, unquote(parts.fragment)) if parts.fragment else None


def wrong_place(path: Path, fragment: str) -> str | None:
    """Say why a link's part after # points at nothing, if it does not."""
    if path.suffix == ".md":
        return None if fragment in anchors(path) else "no such heading"
    lines = LINES.fullmatch(fragment)
    if lines is None or path.is_dir():
        return "only lines, #L1, can be pointed at there"
    last = max(int(number) for number in lines.groups() if number)
    return None if last <= path.read_text("utf-8").count("\n") else "the file is shorter"


def documents(root: Path) -> list[Path]:
    """List the repository's documents; what hides behind a dot, such as .venv, is not searched."""
    return sorted(
        path
        for path in root.rglob("*.md")
        if not any(part.startswith(".") for part in path.relative_to(root).parts)
    )


def main() -> int:
    """Check every document; 1 if a link is dead."""
    root = Path(__file__).resolve().parents[1]
    dead = [
        f"{document.relative_to(root)}:{link.line}: {link.target}: {wrong}"
        for document in documents(root)
        for link in links(document)
        if (wrong := complaint(root, document, link.target))
    ]
    sys.stdout.writelines(f"{line}\n" for line in dead)
    sys.stdout.write(f"{len(documents(root))} documents, {len(dead)} dead links\n")
    return 1 if dead else 0


if __name__ == "__main__":
    sys.exit(main())
