"""A real body of text that every Python brings along: its language reference and the docstrings of its library."""

import ast
import re
import sysconfig
from collections.abc import Iterator
from pathlib import Path
from pydoc_data.topics import topics

from service.agents.knowledge.passages import Page

LIBRARY = Path(sysconfig.get_path("stdlib"))
_APART = frozenset(
    {"test", "tests", "idlelib", "lib2to3", "pydoc_data", "turtledemo", "site-packages", "dist-packages"}
)
_UNDERLINE = re.compile(r"([*=\-~^])\1{2,}")
_LEVELS = "*=-~^"
_LEAST_WORDS = 8
"""A docstring of fewer words answers no question."""


def reference() -> list[Page]:
    """The language reference, as Markdown: about 80 pages."""
    return [Page(f"{name}.md", _markdown(text)) for name, text in sorted(topics.items())]


def library(modules: frozenset[str] | None = None) -> list[Page]:
    """A page of docstrings for each public module, or for those named."""
    pages = []
    for path in sorted(LIBRARY.rglob("*.py")):
        parts = path.relative_to(LIBRARY).with_suffix("").parts
        name = ".".join(parts).removesuffix(".__init__")
        if _APART & set(parts) or any(part.startswith("_") for part in name.split(".")):
            continue
        if modules is None or name in modules:
            tree = ast.parse(path.read_bytes())
            pages.append(Page(f"{name}.md", "\n\n".join(_documented(tree, name))))
    return pages


def _documented(node: ast.AST, name: str) -> Iterator[str]:
    kinds = ast.Module | ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef
    if isinstance(node, kinds):
        text = ast.get_docstring(node) or ""
        if len(text.split()) >= _LEAST_WORDS:
            yield f"{'#' if isinstance(node, ast.Module) else '##'} {name}\n\n{_harmless(text)}"
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and not child.name.startswith("_"):
            yield from _documented(child, child.name if isinstance(node, ast.Module) else f"{name}.{child.name}")


def _harmless(text: str) -> str:
    """No line of a docstring is a heading."""
    return re.sub(r"^( {0,3})([#=-])", r"\1    \2", text, flags=re.MULTILINE)


def _markdown(text: str) -> str:
    lines: list[str] = []
    for line in text.split("\n"):
        rule = _UNDERLINE.fullmatch(line)
        if rule and lines and len(lines[-1]) == len(line):
            lines[-1] = f"{'#' * (_LEVELS.index(rule[1]) + 1)} {lines[-1]}"
        else:
            lines.append(line)
    return "\n".join(lines)
