"""What kind of file this is: by its first bytes, then by what its server said, then by its name. Pure."""

from __future__ import annotations

from pathlib import PurePosixPath

# The first bytes of what cannot be read as text, and what to tell a person.
_PICTURE = "is a picture of a kind that models do not take: save it as PNG or JPEG"
_DAMAGED = "is a picture that is cut off or damaged: save it anew as PNG or JPEG"
_ARCHIVE = "is an archive: unpack it and add the files in it"
_RECORDING = "is a recording, and only text can be read from files"
_PROGRAM = "is a program, not a text"
_OFFICE = "is in an old format of Microsoft Office: save it as DOCX, PDF or CSV"
_FIRST_BYTES: tuple[tuple[bytes, str], ...] = (
    (b"\x89PNG\r\n", _DAMAGED),
    (b"GIF8", _DAMAGED),
    (b"II*\0", _PICTURE),
    (b"MM\0*", _PICTURE),
    (b"\x1f\x8b", _ARCHIVE),
    (b"7z\xbc\xaf", _ARCHIVE),
    (b"Rar!\x1a", _ARCHIVE),
    (b"\xfd7zXZ", _ARCHIVE),
    (b"\x28\xb5\x2f\xfd", _ARCHIVE),
    (b"BZh", _ARCHIVE),
    (b"ID3", _RECORDING),
    (b"OggS", _RECORDING),
    (b"fLaC", _RECORDING),
    (b"RIFF", _RECORDING),
    (b"\x7fELF", _PROGRAM),
    (b"MZ\x90\0", _PROGRAM),
    (b"GGUF", "is a model's file: the model server loads it"),
    (b"SQLite format 3\0", "is a database: export what you need of it as CSV"),
    (b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1", _OFFICE),
    (b"{\\rtf", "is in RTF: save it as DOCX or as plain text"),
)
_ZIP = b"PK\x03\x04"
_PHOTOS = (b"heic", b"heix", b"hevc", b"mif1", b"msf1", b"avif", b"avis")
_PAGE = frozenset((".html", ".htm", ".xhtml"))
_KINDS = (
    ("page", _PAGE),
    ("markdown", frozenset((".md", ".markdown", ".mdx"))),
    ("table", frozenset((".csv", ".tsv", ".tab"))),
    ("json", frozenset((".json", ".jsonl", ".ndjson", ".geojson", ".ipynb"))),
    (
        "code",
        frozenset((
            *(".py", ".pyi", ".js", ".mjs", ".cjs", ".ts", ".tsx", ".jsx", ".c", ".h", ".cc", ".cpp", ".cxx", ".hpp"),
            *(".rs", ".go", ".java", ".kt", ".kts", ".scala", ".rb", ".php", ".pl", ".lua", ".r", ".jl", ".swift"),
            *(".m", ".cs", ".fs", ".vb", ".hs", ".ml", ".ex", ".exs", ".erl", ".clj", ".lisp", ".el", ".sh", ".bash"),
            *(".zsh", ".fish", ".ps1", ".bat", ".sql", ".css", ".scss", ".less", ".vue", ".svelte", ".toml", ".yaml"),
            *(".yml", ".ini", ".cfg", ".conf", ".xml", ".xsl", ".svg", ".proto", ".cmake", ".gradle", ".tf", ".nix"),
            *(".dart", ".zig", ".asm", ".s", ".diff", ".patch", ".jinja", ".j2"),
        )),
    ),
)  # fmt: skip
_BY_MEDIA = {
    "text/html": "page",
    "application/xhtml+xml": "page",
    "application/json": "json",
    "text/csv": "table",
    "text/tab-separated-values": "table",
    "text/markdown": "markdown",
}


def refusal(data: bytes) -> str:
    """Why these bytes cannot be read, after the file's name; nothing when their beginning does not tell."""
    if not data.strip():
        return "is empty"
    if data[4:8] == b"ftyp":
        return _PICTURE if data[8:12] in _PHOTOS else _RECORDING
    return next((said for first, said in _FIRST_BYTES if data.startswith(first)), "")


def kind_of(name: str, data: bytes, media_type: str = "") -> str:
    """pdf, zip, page, markdown, table, json, code or text. What the bytes are counts more than their name."""
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith(_ZIP):
        return "zip"
    suffix = PurePosixPath(name.lower()).suffix
    known = next((kind for kind, suffixes in _KINDS if suffix in suffixes), "")
    if media_type:
        known = _BY_MEDIA.get(media_type, "" if known == "page" else known)
    return known or ("page" if _looks_like_page(data) else "text")


def _looks_like_page(data: bytes) -> bool:
    beginning = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return beginning.startswith((b"<!doctype html", b"<html")) or b"<body" in beginning
