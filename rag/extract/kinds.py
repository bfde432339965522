"""What kind of file this is: by its first bytes, then by what its server said, then by its name. Pure."""

from __future__ import annotations

import re
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
_CODE = frozenset(
    f".{suffix}"
    for suffix in re.findall(
        r"\w+",
        """
    py pyi js mjs cjs ts tsx jsx c h cc cpp cxx hpp rs go java kt kts scala rb php pl lua r jl swift m cs fs vb hs
    ml ex exs erl clj lisp el sh bash zsh fish ps1 bat sql css scss less vue svelte toml yaml yml ini cfg conf xml
    xsl svg proto cmake gradle tf nix dart zig asm s diff patch jinja j2 groovy f f90 f95 for pas pp d v sv vhd vhdl
    cu cuh cl glsl hlsl wgsl metal coffee elm nim cr rkt scm ss lsp cljs edn hrl fsx mli sbt ktm tcl awk sed vim ino
    hh hxx inl mm pyx pxd pm t ads adb cob cbl sol move graphql gql thrift hcl tfvars bzl bazel mk mak am ac m4 in
    spec service socket timer properties env editorconfig jsonc json5 sass styl pug ejs erb hbs mustache astro twig
    liquid xsd dtd wsdl rng plist cts mts psm1 cmd csh ksh nu csproj vbproj fsproj sln rake gemspec podspec prisma
    tla lean agda idr purs dhall hx as gd raku mod
    """,
    )
)
_KINDS = (
    ("page", _PAGE),
    ("markdown", frozenset((".md", ".markdown", ".mdx", ".mdown", ".mkd", ".qmd", ".rmd"))),
    ("table", frozenset((".csv", ".tsv", ".tab"))),
    ("json", frozenset((".json", ".jsonl", ".ndjson", ".geojson"))),
    ("notebook", frozenset((".ipynb",))),
    ("code", _CODE),
)
# Files of code that are known by their whole name.
_CODE_NAMES = frozenset(
    re.findall(
        r"\S+",
        """
    makefile gnumakefile dockerfile containerfile jenkinsfile vagrantfile rakefile gemfile podfile procfile brewfile
    justfile cmakelists.txt meson.build build workspace sconstruct go.mod go.sum pipfile requirements.txt .gitignore
    .dockerignore .gitattributes .bashrc
    """,
    )
)
_BY_MEDIA = {
    "text/html": "page",
    "application/xhtml+xml": "page",
    "application/json": "json",
    "application/x-ndjson": "json",
    "application/jsonl": "json",
    "application/x-ipynb+json": "notebook",
    "text/csv": "table",
    "text/tab-separated-values": "table",
    "text/markdown": "markdown",
}


def picture(data: bytes) -> str:
    """Why a picture is refused by who takes only text; nothing for what is none."""
    is_one = data.startswith((b"\x89PNG\r\n", b"\xff\xd8\xff", b"GIF8")) or (
        data[:4] == b"RIFF" and data[8:12] == b"WEBP"
    )
    return (
        "is a picture, and only text is kept: run a text recognition (OCR) over it and add the result" if is_one else ""
    )


def refusal(data: bytes) -> str:
    """Why these bytes cannot be read, after the file's name; nothing when their beginning does not tell."""
    if not data.strip():
        return "is empty"
    if data[4:8] == b"ftyp":
        return _PICTURE if data[8:12] in _PHOTOS else _RECORDING
    return next((said for first, said in _FIRST_BYTES if data.startswith(first)), "")


def kind_of(name: str, data: bytes, media_type: str = "") -> str:
    """pdf, zip, page, notebook, markdown, table, json, code or text. What the bytes are counts more than their name."""
    if b"%PDF-" in data[:1024]:
        return "pdf"
    if data.startswith(_ZIP):
        return "zip"
    path = PurePosixPath(name.lower())
    known = next((kind for kind, suffixes in _KINDS if path.suffix in suffixes), "")
    if path.name in _CODE_NAMES or (not known and data.startswith(b"#!")):
        known = "code"
    if media_type:
        known = _BY_MEDIA.get(media_type, "" if known == "page" else known)
    return known or ("page" if _looks_like_page(data) else "text")


def _looks_like_page(data: bytes) -> bool:
    beginning = data[:2048].lstrip(b"\xef\xbb\xbf \t\r\n").lower()
    return beginning.startswith((b"<!doctype html", b"<html")) or b"<body" in beginning
