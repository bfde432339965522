"""Write small GGUF files byte by byte, with every mistake that a test orders, and know where each field lies."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from llmserver.offload.types import KINDS, LAYOUTS

KIND_IDS = {name: kind_id for kind_id, name in KINDS.items()}
F32, F16, Q4_0 = 0, 1, 2


@dataclass(frozen=True)
class Field:
    """A number of the header: what it says, where it lies, how wide it is."""

    what: str
    at: int
    width: int


@dataclass(frozen=True)
class Key:
    """One metadata entry; of an array `kind` is that of its members. `length` replaces the true one."""

    name: str | bytes
    kind: str
    value: Any
    is_array: bool = False
    length: int | None = None


@dataclass(frozen=True)
class Row:
    """One tensor; n_bytes of its data must be given, so that a test can lie about the shape."""

    name: str | bytes
    shape: tuple[int, ...]
    n_bytes: int
    type: int = F32
    offset: int | None = None


@dataclass
class Built:
    """A file's bytes, the numbers in its header, and where the tensor data begins."""

    data: bytearray = field(default_factory=bytearray)
    fields: list[Field] = field(default_factory=list)
    begin: int = 0

    def number(self, what: str, layout: str, value: Any) -> None:
        """Append one number."""
        packed = struct.pack(f"<{layout}", value)
        self.fields.append(Field(what, len(self.data), len(packed)))
        self.data += packed

    def text(self, what: str, value: str | bytes) -> None:
        """Append a text with its length before it."""
        raw = value.encode() if isinstance(value, str) else value
        self.number(f"length of {what}", "Q", len(raw))
        self.data += raw

    def value(self, what: str, kind: str, value: Any) -> None:
        """Append a value of the metadata, without its kind."""
        if kind == "string":
            self.text(what, value)
        else:
            self.number(what, LAYOUTS[kind].format.removeprefix("<"), value)

    def with_number(self, changed: Field, value: int) -> bytes:
        """The file with this field replaced, cut to the field's width."""
        raw = (value % (1 << 8 * changed.width)).to_bytes(changed.width, "little")
        return bytes(self.data[: changed.at] + raw + self.data[changed.at + changed.width :])


def build(keys: Iterable[Key], rows: Sequence[Row], *, version: int = 3, alignment: int = 32) -> Built:
    """A file with these keys and tensors. `alignment` is what it is laid out by; the key is the caller's."""
    keys = list(keys)
    out = Built()
    out.data += b"GGUF"
    out.number("version", "I", version)
    out.number("number of tensors", "Q", len(rows))
    out.number("number of keys", "Q", len(keys))
    for key in keys:
        _add_key(out, key)
    offset = 0
    for row in rows:
        _add_row(out, row, offset)
        offset += row.n_bytes + -row.n_bytes % alignment
    out.data += bytes(-len(out.data) % alignment)
    out.begin = len(out.data)
    for place, row in enumerate(rows):
        padding = -row.n_bytes % alignment if place + 1 < len(rows) else 0
        out.data += bytes((place + 1,)) * row.n_bytes + bytes(padding)
    return out


def _add_key(out: Built, key: Key) -> None:
    what = f"{key.name!r}"
    out.text(f"key {what}", key.name)
    if not key.is_array:
        out.number(f"kind of {what}", "I", KIND_IDS[key.kind])
        out.value(what, key.kind, key.value)
        return
    out.number(f"kind of {what}", "I", KIND_IDS["array"])
    out.number(f"kind of the members of {what}", "I", KIND_IDS[key.kind])
    out.number(f"length of the array {what}", "Q", len(key.value) if key.length is None else key.length)
    for i, value in enumerate(key.value):
        out.value(f"member {i} of {what}", key.kind, value)


def _add_row(out: Built, row: Row, offset: int) -> None:
    what = f"tensor {row.name!r}"
    out.text(what, row.name)
    out.number(f"dimensions of {what}", "I", len(row.shape))
    for i, n in enumerate(row.shape):
        out.number(f"dimension {i} of {what}", "Q", n)
    out.number(f"type of {what}", "I", row.type)
    out.number(f"offset of {what}", "Q", offset if row.offset is None else row.offset)


KEYS = (
    Key("general.architecture", "string", "llama"),
    Key("general.alignment", "uint32", 32),
    Key("general.name", "string", b"broken \xff text"),
    Key("llama.block_count", "uint32", 2),
    Key("llama.rope.freq_base", "float32", 0.5),
    Key("llama.is_odd", "bool", True),
    Key("tokenizer.ggml.tokens", "string", ["a", "b\u00e9", b"\xe2\x96"], is_array=True),
    Key("tokenizer.ggml.scores", "float32", [0.25, -1.5], is_array=True),
    *(
        Key(f"kinds.{kind}", kind, 1 if kind != "bool" else False)
        for kind in ("uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64", "float64", "bool")
    ),
)
ROWS = (Row("token_embd.weight", (64, 3), 64 * 3 * 4), Row("blk.0.x", (64, 2), 72, Q4_0), Row("one", (5,), 10, F16))


def small(keys: Sequence[Key] = KEYS, rows: Sequence[Row] = ROWS) -> Built:
    """A file with one key of each kind and three tensors."""
    return build(keys, rows)


def write_large(path: Path, *, n_tokens: int, n_merges: int) -> Path:
    """A file that is all vocabulary, as large as tokenizers of today have it."""
    tokens, merges = (b"token%d" % i for i in range(n_tokens)), (b"a%d b%d" % (i, i) for i in range(n_merges))
    with path.open("wb") as file:
        file.write(b"GGUF" + struct.pack("<IQQ", 3, 0, 3))
        for name, kind, length, members in (
            (b"tokenizer.ggml.tokens", "string", n_tokens, _texts(tokens)),
            (b"tokenizer.ggml.scores", "float32", n_tokens, bytes(4 * n_tokens)),
            (b"tokenizer.ggml.merges", "string", n_merges, _texts(merges)),
        ):
            kinds = struct.pack("<IIQ", KIND_IDS["array"], KIND_IDS[kind], length)
            file.write(_texts([name]) + kinds + members)
    return path


def _texts(texts: Iterable[bytes]) -> bytes:
    return b"".join(len(text).to_bytes(8, "little") + text for text in texts)


def part_name(stem: str, part: int, count: int) -> str:
    """What llama.cpp calls a part, counted from zero here."""
    return f"{stem}-{part + 1:05}-of-{count:05}.gguf"


def part_keys(part: int, count: int, n_tensors: int) -> list[Key]:
    """The three keys of a part."""
    return [
        Key("split.no", "uint16", part),
        Key("split.count", "uint16", count),
        Key("split.tensors.count", "int32", n_tensors),
    ]


def write_split(folder: Path, *, stem: str = "big", count: int = 3) -> list[Path]:
    """A model in parts of one tensor each; the first carries the metadata."""
    paths = []
    for part in range(count):
        keys = [*(KEYS if part == 0 else ()), *part_keys(part, count, count)]
        path = folder / part_name(stem, part, count)
        path.write_bytes(build(keys, [Row(f"blk.{part}.x", (8,), 32)]).data)
        paths.append(path)
    return paths
