"""What the web chat needs beside Python: the packages that its code imports, what those need, and their weight."""

from __future__ import annotations

import ast
import re
import sys
from collections.abc import Iterable, Mapping
from importlib import metadata
from pathlib import Path

_REPO = Path(__file__).resolve().parents[2]
_OURS = ("chatbot", "rag")
_BY_NAME_ALONE = {"simple_websocket"}  # engineio finds it by itself
_NEEDED = re.compile(r"[A-Za-z0-9._-]+")


def weights() -> dict[str, float]:
    """Each package that chatbot and rag import, or that one of these needs, with its size in MB (10^6 bytes).

    A package weighs what its wheel unpacks: without bytecode, which Python can make again at any time.
    """
    known = metadata.packages_distributions()
    imported = set().union(*(imports_of(_REPO / top) for top in _OURS)) | _BY_NAME_ALONE
    return {name: _weight(name) for name in sorted(with_needs(imported & set(known), known))}


def imports_of(folder: Path) -> set[str]:
    """The top-level names that the modules below a folder import, without the standard library's."""
    found: set[str] = set()
    for path in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            if isinstance(node, ast.Import):
                found |= {each.name.partition(".")[0] for each in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"chatbot", "rag", "llmserver"}


def with_needs(imported: Iterable[str], known: Mapping[str, list[str]]) -> set[str]:
    """The distributions of these modules, with all that they require here, extras aside."""
    waiting = [_plain(known[each][0]) for each in imported]
    found: set[str] = set()
    while waiting:
        name = waiting.pop()
        if name not in found:
            found.add(name)
            waiting += _needs(name)
    return found


def _needs(name: str) -> list[str]:
    required = metadata.requires(name) or []
    named = [match[0] for each in required if "extra ==" not in each and (match := _NEEDED.match(each))]
    return [_plain(each) for each in named if _is_installed(each)]


def _is_installed(name: str) -> bool:
    try:
        metadata.distribution(name)
    except metadata.PackageNotFoundError:  # for another Python or system
        return False
    return True


def _plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def _weight(name: str) -> float:
    files = metadata.files(name) or []
    return sum(each.size or 0 for each in files if each.suffix != ".pyc") / 1e6
