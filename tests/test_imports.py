"""The house's walls: which package may import which, and how long a file or a function may be."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest

REPO = Path(__file__).resolve().parent.parent
SOURCES = sorted(
    path
    for top in ("llmserver", "chatbot", "rag")
    for path in (REPO / top).rglob("*.py")
    if "node_modules" not in path.parts
)

# What decides in the engine knows no llama, no threads, no clock and no log.
PURE = (
    *("adapters", "answer", "batch", "cells", "embed", "fair", "hostcache", "info", "memory", "pace", "plan", "prefix"),
    *("request", "sampling", "scheduler"),
)
NOT_PURE = ("llama_cpp", "threading", "queue", "time", "logging", "asyncio", "llmserver.engine.llama")
PURE_OF_RAG = (
    *(
        "documents",
        "tokens",
        "chunk",
        "citations",
        "claims",
        "clauses",
        "rows",
        "said",
        "meanings",
        "marks",
        "numerals",
        "stop",
        "fence",
    ),
    *("runs", "inline"),
)
# (modules that begin with this, may not import modules that begin with one of these)
WALLS = [
    ("chatbot", ("llmserver", "llama_cpp", "tuning")),
    ("llmserver", ("chatbot", "rag", "tuning", "flask")),
    ("rag", ("chatbot", "llmserver", "llama_cpp", "tuning", "flask", "flask_socketio", "fastapi")),
    *(
        (f"rag.{pure}", ("sqlite3", "openai", "threading", "time", "logging", "rag.database", "rag.index", "rag.embed"))
        for pure in PURE_OF_RAG
    ),
    (
        "chatbot.core",
        ("chatbot.web", "chatbot.terminal", "flask", "flask_socketio", "socketio", "rich", "prompt_toolkit"),
    ),
    ("chatbot.web", ("chatbot.terminal",)),
    ("chatbot.terminal", ("chatbot.web", "flask", "flask_socketio")),
    ("llmserver.library", ("llmserver.api", "llmserver.serve", "fastapi")),
    ("llmserver.library.convert_child", ("llmserver", "llama_cpp")),
    ("llmserver.cpu", ("llmserver", "llama_cpp")),
    ("llmserver.errors", ("llmserver.", "llama_cpp", "fastapi")),
    ("llmserver.text", ("llmserver.engine", "llmserver.api", "llmserver.settings", "fastapi", "threading", "queue")),
    ("llmserver.engine", ("llmserver.api", "llmserver.serve", "llmserver.bench")),
    *(
        (f"llmserver.offload.{pure}", (*NOT_PURE, "llmserver.settings", "subprocess"))
        for pure in ("gguf", "types", "shape", "memory", "planner", "spread", "table")
    ),
    *((f"llmserver.library.{pure}", (*NOT_PURE, "llmserver.settings", "subprocess")) for pure in ("fits", "cards")),
    ("llmserver.offload", ("llmserver.engine", "llmserver.api", "llmserver.serve", "fastapi")),
    ("llmserver.bench", ("llmserver.engine", "llmserver.api", "llmserver.text", "llama_cpp", "fastapi")),
    *((f"llmserver.engine.{pure}", (*NOT_PURE, "llmserver.settings")) for pure in PURE),
    ("chatbot.core.turn", ("chatbot.core.store", "chatbot.core.jobs")),
    ("chatbot.core.events", ("chatbot",)),
]
# Who alone may import these.
OWNERS = {
    "fastapi": ("llmserver.api",),
    "flask": ("chatbot.web", "chatbot.__main__"),
    "sqlite3": ("chatbot.core.store_base", "chatbot.core.migrations", "rag.database", "rag.stems"),
    "openai": (),  # the tests alone: it is the client that others use
    "httpx2": ("chatbot.core.live", "llmserver.library", "rag.embed"),
    "llama_cpp": (
        *("llmserver.engine.llama", "llmserver.api.stock", "llmserver.api.checks", "llmserver.settings"),
        *(
            "llmserver.library.quantizer",
            "llmserver.offload.probe",
            "llmserver.offload.bandwidth",
            "llmserver.offload.devices",
            "llmserver.offload.rpc",
        ),
    ),
    "huggingface_hub": ("llmserver.library",),
    "rich": ("chatbot.terminal",),
    "prompt_toolkit": ("chatbot.terminal",),
    "prometheus_client": ("llmserver.metrics", "chatbot.core.live"),
}
# What of rag may be used from where: by the most exact place that a module is in. Elsewhere nothing.
_FACE = ("library", "shelves", "documents", "errors", "ingest", "again", "embed.HttpEmbedder", "sources.kinds")
_TEXTS = ("extract", "fence", "citations", "marks", "process", "errors.SourceFailed", "sources.Fetched")
RAG = {
    "chatbot.web": _FACE,
    "chatbot.terminal": _FACE,
    "chatbot.core": _TEXTS,
    "chatbot.core.library": (*_FACE, *_TEXTS, "answer", "search", "stop", "tokens", "database.MEMORY", "embed.Vector"),
}


def module_of(path: Path) -> str:
    return ".".join(path.relative_to(REPO).with_suffix("").parts).removesuffix(".__init__")


def imports_of(path: Path) -> set[str]:
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            found |= {node.module} | {f"{node.module}.{alias.name}" for alias in node.names}
    return found


def is_within(module: str, place: str) -> bool:
    return module == place or module.startswith(place if place.endswith(".") else f"{place}.")


def trespasses(module: str, imported: set[str]) -> list[str]:
    """What this module imports through a wall."""
    found = [
        f"{module} imports {name}"
        for place, forbidden in WALLS
        for name in imported
        if is_within(module, place) and any(is_within(name, wall) for wall in forbidden)
    ]
    for library, owners in OWNERS.items():
        if any(is_within(name, library) for name in imported) and not any(is_within(module, o) for o in owners):
            found.append(f"{module} imports {library}, which only {', '.join(owners) or 'a test'} may")
    return sorted([*found, *beside_the_face(module, imported)])


def beside_the_face(module: str, imported: set[str]) -> list[str]:
    """What this module imports of rag that is not for it."""
    of_rag = [name for name in imported if is_within(name, "rag")]
    if is_within(module, "rag") or not of_rag:
        return []
    place = max((place for place in RAG if is_within(module, place)), key=len, default="")
    allowed = [f"rag.{name}" for name in RAG.get(place, ())]
    # "from rag.sources import kinds" names rag.sources too
    beside = [name for name in of_rag if not any(is_within(name, a) or is_within(a, name) for a in allowed)]
    return [f"{module} imports {name}, which is not for {place or 'it'}" for name in beside]


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_no_module_imports_through_a_wall(path: Path) -> None:
    assert trespasses(module_of(path), imports_of(path)) == []


def test_a_module_that_broke_the_rules_would_be_seen() -> None:
    assert trespasses("chatbot.core.turn", {"flask"})
    assert trespasses("chatbot.web.app", {"llmserver.errors"})
    assert trespasses("llmserver.serve", {"fastapi.responses"})
    assert trespasses("chatbot.web.library", {"rag.index", "rag.index.Index"})
    assert trespasses("chatbot.core.turn", {"rag.library"})
    assert trespasses("chatbot.settings", {"rag.errors"})
    assert not trespasses(
        "chatbot.terminal.library", {"rag", "rag.library.Library", "rag.sources", "rag.sources.kinds"}
    )


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_every_module_says_in_its_docstring_what_it_decides(path: Path) -> None:
    if path.name != "__init__.py" or path.read_text(encoding="utf-8").strip():
        assert ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))


@pytest.mark.parametrize("path", SOURCES, ids=module_of)
def test_files_stay_under_400_lines_and_functions_under_50(path: Path) -> None:
    text = path.read_text(encoding="utf-8")
    assert len(text.splitlines()) <= 400
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            assert (node.end_lineno or 0) - node.lineno < 50, node.name
