"""What the GGUF reader does with files that are wrong, on purpose or not: one line, at once, in little memory."""

from __future__ import annotations

import importlib.util
import os
import random
import re
import shutil
import socket
import struct
import subprocess
import sys
import time
import tracemalloc
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from llmserver.errors import ModelFileBroken, ModelFileMissing
from llmserver.offload import cursor
from llmserver.offload.gguf import Array, Gguf, read
from tests.server import ggufs
from tests.server.ggufs import KEYS, ROWS, Key, Row

NUMBERS = (0, 1, 1 << 31, (1 << 32) - 1, (1 << 63) - 1, 1 << 63, (1 << 64) - 1)
# A change of one of these is never a good file of other content.
FIRM = ("version", "number of keys", "length", "kind of the members", "dimensions", "offset", "type")
FLIPS = 3000
SLOW_S = 1.0
MOST_BYTES = 4 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


@pytest.fixture
def bounded() -> Iterator[None]:
    """Whatever the test reads must fit in a few MiB."""
    tracemalloc.start()
    yield
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MOST_BYTES


def outcome(path: Path) -> Gguf | str:
    """What was read, or the one line that says why not."""
    began = time.process_time()
    try:
        return read(path)
    except (ModelFileMissing, ModelFileBroken) as why:
        line = str(why)
        assert line.isprintable()
        assert len(line) < 600
        assert path.name in line
        return line
    finally:
        assert time.process_time() - began < SLOW_S


def refusal(path: Path) -> str:
    said = outcome(path)
    assert isinstance(said, str), "the file was read"
    return said


def test_every_number_of_the_header_may_be_anything(path: Path, bounded: None) -> None:
    built, n_read = ggufs.small(), 0
    for field in built.fields:
        for number in NUMBERS:
            changed = built.with_number(field, number)
            path.write_bytes(changed)
            said = outcome(path)
            if isinstance(said, Gguf):
                n_read += 1
                assert changed == built.data or not field.what.startswith(FIRM), (field, number)
    assert n_read > 50  # values may change, and then the file is good


def test_file_cut_anywhere_is_refused_with_its_size(path: Path) -> None:
    whole = bytes(ggufs.small().data)
    begin = ggufs.small().begin
    for n in range(4, len(whole)):
        if n < begin + 64 or n % 16 == 0 or n > len(whole) - 16:
            path.write_bytes(whole[:n])
            said = refusal(path)
            assert "is cut short" in said
            assert f"{n:,}" in said
    assert "has 1,500 of " in (path.write_bytes(whole[:1500]), refusal(path))[1]
    path.write_bytes(whole)
    assert isinstance(outcome(path), Gguf)


def test_split_part_cut_anywhere_is_refused_by_its_name(tmp_path: Path) -> None:
    paths = ggufs.write_split(tmp_path)
    whole = paths[1].read_bytes()
    for n in range(len(whole)):
        paths[1].write_bytes(whole[:n])
        with pytest.raises(ModelFileBroken, match=paths[1].name):
            read(paths[0])


def flipped(rng: random.Random, whole: bytes, n_header: int) -> bytes:
    """The file with one to four bytes of its header changed."""
    data = bytearray(whole)
    for _ in range(rng.randint(1, 4)):
        data[rng.randrange(4, n_header)] = rng.choice((0, 1, 0x7F, 0x80, 0xFF, rng.randrange(256)))
    return bytes(data)


def test_random_bytes_in_the_header_never_do_more_than_raise(path: Path) -> None:
    rng, built = random.Random(1), ggufs.small()  # noqa: S311  not for secrets
    said = []
    for _ in range(FLIPS):
        path.write_bytes(flipped(rng, bytes(built.data), built.begin))
        said.append(outcome(path))
    refused = [line for line in said if isinstance(line, str)]
    assert FLIPS // 5 < len(refused) < FLIPS
    assert len({re.sub(r"'[^']*'|[\d,]+", "", line) for line in refused}) > 12  # many checks had their turn


def test_random_bytes_in_the_header_cost_little_memory(path: Path, bounded: None) -> None:
    rng, built = random.Random(4), ggufs.small()  # noqa: S311
    for _ in range(300):
        path.write_bytes(flipped(rng, bytes(built.data), built.begin))
        outcome(path)


def test_random_bytes_instead_of_a_header_are_refused(path: Path, bounded: None) -> None:
    rng = random.Random(2)  # noqa: S311
    for _ in range(300):
        head = b"GGUF" + struct.pack("<IQQ", 3, rng.randrange(40), rng.randrange(40))
        path.write_bytes(head + rng.randbytes(rng.randrange(3000)))
        refusal(path) if head[8] or head[16] else outcome(path)


GGML_SCRIPT = """
import ctypes, sys
from pathlib import Path
class Params(ctypes.Structure):
    _fields_ = [("no_alloc", ctypes.c_bool), ("ctx", ctypes.c_void_p)]
lib = ctypes.CDLL(sys.argv[1])
lib.gguf_init_from_file.restype = ctypes.c_void_p
lib.gguf_init_from_file.argtypes = [ctypes.c_char_p, Params]
for path in sorted(Path(sys.argv[2]).iterdir()):
    if not lib.gguf_init_from_file(str(path).encode(), Params(True, None)):
        print(path.name)
"""


def test_what_is_read_here_ggml_reads_too(tmp_path: Path) -> None:
    """In a process of its own: ggml may end it."""
    rng, built, folder = random.Random(3), ggufs.small(), tmp_path / "read"  # noqa: S311
    folder.mkdir()
    path = tmp_path / "candidate.gguf"
    changed = [built.with_number(field, number) for field in built.fields for number in NUMBERS]
    changed += [flipped(rng, bytes(built.data), built.begin) for _ in range(1000)]
    for place, data in enumerate(changed):
        path.write_bytes(data)
        if isinstance(outcome(path), Gguf):
            shutil.copy(path, folder / f"{place}.gguf")
    assert len(list(folder.iterdir())) > 100
    (folder / "control.gguf").write_bytes(b"GGUF")
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None and spec.submodule_search_locations
    library = next(Path(spec.submodule_search_locations[0], "lib").glob("libggml-base.*"))
    command = [sys.executable, "-c", GGML_SCRIPT, str(library), str(folder)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stdout.split() == ["control.gguf"]


def keyed(*keys: Key) -> Callable[[], bytes]:
    return lambda: bytes(ggufs.small(keys=[*KEYS, *keys]).data)


def rowed(*rows: Row) -> Callable[[], bytes]:
    return lambda: bytes(ggufs.small(rows=[*ROWS, *rows]).data)


def counted(n_tensors: int, n_keys: int, n_bytes: int = 100) -> Callable[[], bytes]:
    return lambda: b"GGUF" + struct.pack("<IQQ", 3, n_tensors, n_keys) + bytes(n_bytes)


def nested() -> bytes:
    """An array in an array in an array, ten thousand deep."""
    built = ggufs.build([Key("deep", "array", [], is_array=True)], [])
    return bytes(built.data) + struct.pack("<IQ", 9, 1) * 10_000


CASES: dict[str, tuple[Callable[[], bytes], str]] = {
    "empty": (lambda: b"", "is empty"),
    "three bytes": (lambda: b"GGU", "is not a GGUF model"),
    "magic only": (lambda: b"GGUF", "cut short"),
    "another format": (lambda: b"PK\3\4" + bytes(100), "is not a GGUF model"),
    "version 0": (lambda: b"GGUF" + bytes(100), "has GGUF version 0"),
    "version 4": (lambda: bytes(ggufs.build(KEYS, ROWS, version=4).data), "has GGUF version 4"),
    "big-endian": (lambda: b"GGUF" + struct.pack(">IQQ", 3, 1, 1) + bytes(100), "big-endian"),
    "tensors": (counted(100_001, 0), "announces 100,001 tensors, 100,000 are the most"),
    "tensors that cannot be there": (counted(100_000, 0), "needs 3,200,000 bytes where 100 of the file's 124 are left"),
    "keys": (counted(0, 65_537), "announces 65,537 keys"),
    "keys that cannot be there": (counted(0, 65_536), "cut short"),
    "key without a name": (keyed(Key("", "uint8", 1)), r"key 19 of 19 has no name"),
    "key that is not UTF-8": (keyed(Key(b"a\xffb", "uint8", 1)), r"has the name 'a\\xffb', which is not UTF-8"),
    "key with a NUL": (keyed(Key("a\0b", "uint8", 1)), "holds a NUL"),
    "key with a line break and an escape": (
        keyed(*[Key("a\n\x1b[2Jb", "uint8", 1)] * 2),
        r"key 'a\\n\\x1b\[2Jb' stands there twice",
    ),
    "key twice": (keyed(Key("general.name", "uint8", 1)), "key 'general.name' stands there twice"),
    "long key": (keyed(Key("k" * 65_536, "uint8", 1)), "65,535 are the most"),
    "long key with a fault": (
        keyed(Key("k" * 999, "array", [], is_array=True)),
        r"key 'k{60}\.\.\.' is an array of arrays",
    ),
    "array of arrays": (nested, "key 'deep' is an array of arrays"),
    "long array of nothing": (
        keyed(Key("list", "string", [], is_array=True, length=1 << 61)),
        "key 'list' needs 18,446,744,073,709,551,616 bytes",
    ),
    "long array of numbers": (keyed(Key("list", "float64", [], is_array=True, length=1 << 63)), "key 'list' needs"),
    "text behind the end": (lambda: long_text(1 << 40), "cut short or damaged: a text of key 'list' ends 1,099,511,6"),
    "text longer than any": (lambda: long_text((1 << 64) - 1), "a text of key 'list' ends 18,446,744,073,709,5"),
    "alignment 0": (lambda: aligned("uint32", 0), "alignment' is 0, not a power of two"),
    "alignment 48": (lambda: aligned("uint32", 48), "is 48, not a power of two"),
    "alignment 2^31": (lambda: aligned("uint32", 1 << 31), "is cut short: it has .* of 2,147,48"),
    "alignment of another kind": (lambda: aligned("uint64", 32), "is of kind uint64 and must be uint32"),
    "split key of another kind": (keyed(Key("split.count", "uint32", 3)), "is of kind uint32 and must be uint16"),
    "architecture that is a number": (
        lambda: bytes(ggufs.build([Key("general.architecture", "uint8", 1)], ROWS).data),
        "is of kind uint8 and must be string",
    ),
    "no dimensions": (rowed(Row("x", (), 4)), "tensor 'x' has 0 dimensions"),
    "five dimensions": (rowed(Row("x", (1,) * 5, 4)), "tensor 'x' has 5 dimensions"),
    "dimension 0": (rowed(Row("x", (4, 0), 4)), "has the shape 4 x 0"),
    "shape that overflows": (rowed(Row("x", (1 << 32, 1 << 31), 4)), "has the shape 4294967296 x 2147483648"),
    "shape that overflows to one": (rowed(Row("x", (1 << 63, 2, 1 << 63), 4)), "which no tensor has"),
    "large shape": (rowed(Row("x", (1 << 31, 1 << 31), 4)), r"is cut short: it has 1,\d+ of 18,446,744,073,709,5"),
    "type that was removed": (rowed(Row("x", (32,), 18, 4)), "tensor 'x' is of type 4, which this llama.cpp does not"),
    "type of tomorrow": (rowed(Row("x", (32,), 18, 1000)), "is of type 1000"),
    "row that is no whole block": (rowed(Row("x", (33,), 18, ggufs.Q4_0)), "rows of 33 elements, q4_0 needs .* of 32"),
    "tensor twice": (rowed(Row("one", (1,), 4)), "tensor 'one' stands there twice"),
    "tensor name that is not UTF-8": (rowed(Row(b"\xc3", (1,), 4)), "not UTF-8"),
    "overlap": (rowed(Row("x", (1,), 4, offset=0)), "tensor 'x' overlaps what is before it: it begins at 0 instead of"),
    "hole": (rowed(Row("x", (1,), 4, offset=1 << 12)), "tensor 'x' leaves a hole after .* at 4,096 instead of"),
    "offset that is not aligned": (rowed(Row("x", (1,), 4, offset=33)), "tensor 'x' overlaps"),
    "offset behind the end": (rowed(Row("x", (1,), 4, offset=1 << 63)), "leaves a hole"),
}


def aligned(kind: str, alignment: int) -> bytes:
    keys = [key for key in KEYS if key.name != "general.alignment"]
    return bytes(ggufs.build([*keys, Key("general.alignment", kind, alignment)], ROWS[:1]).data)


def long_text(length: int) -> bytes:
    """A long array with one text that says it has another length."""
    built = ggufs.build([Key("list", "string", ["x"] * 5000, is_array=True)], ROWS)
    (member,) = (field for field in built.fields if field.what == "length of member 4321 of 'list'")
    return built.with_number(member, length)


@pytest.mark.parametrize("case", CASES)
def test_fault_is_named_with_its_place(path: Path, bounded: None, case: str) -> None:
    make, says = CASES[case]
    path.write_bytes(make())
    with pytest.raises(ModelFileBroken, match=says):
        read(path)
    refusal(path)


def sparse(path: Path, head: bytes, n_bytes: int) -> None:
    """A file of zeros behind this head, which takes no room on the disk."""
    path.write_bytes(head)
    os.truncate(path, n_bytes)


def test_large_file_of_zeros_costs_neither_memory_nor_time(path: Path, bounded: None) -> None:
    key = b"GGUF" + struct.pack("<IQQ", 3, 0, 1) + struct.pack("<Q", 1) + b"k"
    sparse(path, key + struct.pack("<IQ", 8, 1 << 30), 1 << 31)
    assert "leads past the 134,217,728 bytes" in refusal(path)
    sparse(path, key + struct.pack("<IIQ", 9, 8, 1 << 27), 1 << 31)
    assert "is one text too many: 4,194,304 are the most" in refusal(path)
    sparse(path, key + struct.pack("<IIQ", 9, 10, 1 << 27), 1 << 31)
    assert read(path).metadata["k"] == Array("uint64", 1 << 27, None)
    sparse(path, b"GGUF" + struct.pack("<IQQ", 3, 0, 60_000), 1 << 31)
    assert "key 1 of 60000 has no name" in refusal(path)


def test_many_short_arrays_are_bounded_together(path: Path) -> None:
    one = Key("", "uint8", [0] * 4096, is_array=True)
    piece = bytes(ggufs.build([one], []).data[24 + 8 :])
    names = (b"k%d" % i for i in range(1000))
    keys = b"".join(struct.pack("<Q", len(name)) + name + piece[: 16 + 4096] for name in names)
    path.write_bytes(b"GGUF" + struct.pack("<IQQ", 3, 0, 1000) + keys)
    assert "key 'k256' is one array too many: 1,048,576 values" in refusal(path)


def test_most_tensors_are_read_at_once(path: Path) -> None:
    rows = b"".join(struct.pack("<Q6sIQIQ", 6, b"%06d" % i, 1, 8, ggufs.F32, 32 * i) for i in range(100_000))
    sparse(path, b"GGUF" + struct.pack("<IQQ", 3, 100_000, 0) + rows, 1 << 23)
    began = time.process_time()
    assert len(read(path).tensors) == 100_000
    assert time.process_time() - began < 3  # 0.3 s on a free machine


def test_what_is_no_plain_file_is_refused_without_waiting(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe.gguf")
    (tmp_path / "loop.gguf").symlink_to("loop.gguf")
    (tmp_path / "null.gguf").symlink_to("/dev/null")
    (tmp_path / "folder.gguf").mkdir()
    (tmp_path / "plain.gguf").write_bytes(b"GGUF")
    with socket.socket(socket.AF_UNIX) as door:
        door.bind(str(tmp_path / "door.gguf"))
        says = {name: refusal(tmp_path / f"{name}.gguf") for name in ("pipe", "loop", "null", "folder", "door", "none")}
    assert "pipe.gguf is a pipe or a device" in says["pipe"]
    assert "cannot read the model file" in says["loop"]
    assert "is a pipe or a device" in says["null"]
    assert "folder.gguf is a folder" in says["folder"]
    assert "cannot read the model file" in says["door"]
    assert "no model file at" in says["none"]
    assert "cannot read the model file" in refusal(tmp_path / "plain.gguf" / "inner.gguf")
    for name in ("a\0b", "n" * 300, "\ud800"):
        with pytest.raises(ModelFileMissing) as refused:
            read(tmp_path / name)
        assert str(refused.value).isprintable()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_file_that_may_not_be_read_is_refused(path: Path) -> None:
    path.write_bytes(ggufs.small().data)
    path.chmod(0)
    assert "cannot read the model file" in refusal(path)


def test_name_with_a_line_break_is_told_in_one_line(tmp_path: Path) -> None:
    for name in ("two\nlines.gguf", "escape\x1b[2J.gguf", "raw\udcff.gguf"):
        (tmp_path / name).write_bytes(b"GGUF")
        with pytest.raises(ModelFileBroken) as refused:
            read(tmp_path / name)
        assert str(refused.value).isprintable()


@pytest.mark.parametrize("n_left", [0, 100, 1 << 20])
def test_file_that_shrinks_while_it_is_read_is_an_error_and_no_signal(
    path: Path, monkeypatch: pytest.MonkeyPatch, n_left: int
) -> None:
    ggufs.write_large(path, n_tokens=200_000, n_merges=200_000)
    pread, n_calls = os.pread, 0

    def shrinking(file: int, n: int, at: int) -> bytes:
        nonlocal n_calls
        n_calls += 1
        if n_calls == 2:
            os.truncate(path, n_left)
        return pread(file, n, at)

    monkeypatch.setattr(cursor.os, "pread", shrinking)
    assert "became shorter than its" in refusal(path)
    assert n_calls >= 2


def test_file_that_shrinks_behind_its_header_is_cut_short(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    built, pread = ggufs.small(), os.pread
    path.write_bytes(built.data)

    def shrinking(file: int, n: int, at: int) -> bytes:
        read_bytes = pread(file, n, at)
        os.truncate(path, built.begin)
        return read_bytes

    monkeypatch.setattr(cursor.os, "pread", shrinking)
    assert f"is cut short: it has {built.begin:,} of" in refusal(path)
