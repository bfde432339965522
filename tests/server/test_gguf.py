"""What the GGUF reader finds in good files: the same as ggml and its own Python package, in a fraction of the time."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import time
import tracemalloc
from collections.abc import Callable
from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFValueType

from llmserver.errors import ModelFileBroken, ModelFileMissing
from llmserver.library import modelfile
from llmserver.offload.gguf import MOST_VALUES, Array, Gguf, Tensor, read
from llmserver.offload.types import KINDS, TYPES
from tests.processes import MODEL
from tests.server import ggufs
from tests.server.ggufs import KEYS, ROWS, Key, Row
from tests.server.lora import write_lora
from tests.server.recurrent import write_recurrent
from tests.server.tinybert import write_bert

MIB = 1 << 20


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "model.gguf"


def written(path: Path, *args: object, **kwargs: object) -> Gguf:
    path.write_bytes(ggufs.build(*args, **kwargs).data)  # type: ignore[arg-type]
    return read(path)


def test_every_kind_of_key_and_every_tensor_is_found_where_it_was_written(path: Path) -> None:
    built = ggufs.small()
    path.write_bytes(built.data)
    found = read(path)
    assert (found.paths, found.version, found.n_bytes) == ((path,), 3, len(built.data))
    for key in KEYS:
        if not key.is_array and not isinstance(key.value, bytes):
            assert found.metadata[str(key.name)] == key.value
            assert type(found.metadata[str(key.name)]) is type(key.value) or key.kind == "float64"
    assert found.metadata["general.name"] == "broken \ufffd text"
    assert found.metadata["tokenizer.ggml.tokens"] == Array("string", 3, ("a", "b\u00e9", "\ufffd"))
    assert found.metadata["tokenizer.ggml.scores"] == Array("float32", 2, (0.25, -1.5))
    begin = built.begin
    assert found.tensors == (
        Tensor("token_embd.weight", ggufs.F32, (64, 3), begin, 768),
        Tensor("blk.0.x", ggufs.Q4_0, (64, 2), begin + 768, 72),
        Tensor("one", ggufs.F16, (5,), begin + 768 + 96, 10),
    )
    data = path.read_bytes()
    for place, tensor in enumerate(found.tensors, start=1):
        assert set(data[tensor.offset : tensor.offset + tensor.n_bytes]) == {place}


def test_keys_of_the_architecture_are_asked_by_their_end(path: Path) -> None:
    found = written(path, KEYS, ROWS)
    assert (found.architecture, found.of("block_count"), found.of("none")) == ("llama", 2, None)
    assert written(path, [], ROWS).architecture == ""


@pytest.mark.parametrize("alignment", [1, 8, 64, 4096])
def test_data_is_found_at_any_alignment(path: Path, alignment: int) -> None:
    found = written(path, [Key("general.alignment", "uint32", alignment)], ROWS, alignment=alignment)
    assert all(tensor.offset % alignment == 0 for tensor in found.tensors)
    last = found.tensors[-1]
    assert set(path.read_bytes()[last.offset : last.offset + last.n_bytes]) == {len(ROWS)}


def test_longest_name_of_ggml_is_read_and_a_longer_one_is_not(path: Path) -> None:
    assert written(path, [], [Row("n" * 63, (1,), 4)]).tensors[0].name == "n" * 63
    with pytest.raises(ModelFileBroken, match="64 bytes, 63 are the most"):
        written(path, [], [Row("n" * 64, (1,), 4)])


@pytest.mark.parametrize("kind", ["string", "uint32", "bool"])
def test_values_of_an_array_are_kept_up_to_the_limit_and_what_follows_is_read(path: Path, kind: str) -> None:
    one: object = {"string": "token", "uint32": 7, "bool": True}[kind]
    for length in (0, 1, MOST_VALUES, MOST_VALUES + 1):
        found = written(path, [Key("list", kind, [one] * length, is_array=True), Key("after", "int32", -5)], ROWS)
        values = (one,) * length if length <= MOST_VALUES else None
        assert found.metadata["list"] == Array(kind, length, values)
        assert found.metadata["after"] == -5
        assert len(found.tensors) == len(ROWS)


def test_long_texts_that_cross_the_pieces_in_which_the_file_is_read_stay_whole(path: Path) -> None:
    texts = [chr(97 + i % 26) * (i * 400) for i in range(120)]
    many = ["x" * (i % 1000) for i in range(6000)]
    keys = [Key("list", "string", texts, is_array=True), Key("many", "string", many, is_array=True)]
    found = written(path, [*keys, Key("long", "string", "y" * 3 * MIB)], ROWS)
    assert path.stat().st_size > 8 * MIB
    assert found.metadata["list"] == Array("string", 120, tuple(texts))
    assert found.metadata["long"] == "y" * 3 * MIB
    assert len(found.tensors) == len(ROWS)


def ggml() -> ctypes.CDLL:
    spec = importlib.util.find_spec("llama_cpp")
    assert spec is not None and spec.submodule_search_locations
    library = ctypes.CDLL(str(next(Path(spec.submodule_search_locations[0], "lib").glob("libggml-base.*"))))
    library.ggml_type_name.restype = ctypes.c_char_p
    library.ggml_blck_size.restype = ctypes.c_int64
    library.ggml_type_size.restype = ctypes.c_size_t
    return library


def test_table_of_types_is_ggmls_own() -> None:
    """GGML_TYPE_COUNT has no function: the first id without a name ends ggml's table."""
    library, header = ggml(), {}
    for type_id in range(max(TYPES) + 1):
        if library.ggml_blck_size(type_id):
            name = library.ggml_type_name(type_id).decode()
            header[type_id] = (name, library.ggml_blck_size(type_id), library.ggml_type_size(type_id))
    assert header == {type_id: (kind.name, kind.block, kind.n_bytes) for type_id, kind in TYPES.items()}
    library.gguf_type_name.restype = ctypes.c_char_p
    short = {"u": "uint", "i": "int", "f": "float", "str": "string", "arr": "array", "bool": "bool"}
    for kind_id, kind in KINDS.items():
        name = library.gguf_type_name(kind_id).decode()
        letters = name.rstrip("0123456789")
        assert short[letters] + name[len(letters) :] == kind


@pytest.mark.model
def test_embedded_model_reads_as_with_the_gguf_package() -> None:
    found, peer = read(MODEL), GGUFReader(MODEL)
    assert [tensor.name for tensor in found.tensors] == [tensor.name for tensor in peer.tensors]
    for ours, theirs in zip(found.tensors, peer.tensors, strict=True):
        assert (ours.type, ours.shape) == (int(theirs.tensor_type), tuple(int(n) for n in theirs.shape))
        assert (ours.offset, ours.n_bytes) == (theirs.data_offset, theirs.n_bytes)
    fields = {name: field for name, field in peer.fields.items() if not name.startswith("GGUF.")}
    assert list(found.metadata) == list(fields)
    for name, field in fields.items():
        ours, theirs = found.metadata[name], field.contents()
        if not isinstance(ours, Array):
            assert ours == theirs, name
            continue
        assert (ours.kind, ours.length) == (KINDS[int(field.types[1])], len(theirs)), name
        assert ours.values is None or list(ours.values) == theirs, name
    assert GGUFValueType.ARRAY in {field.types[0] for field in fields.values()}


def test_header_with_262144_tokens_is_read_fast_and_in_little_memory(path: Path) -> None:
    ggufs.write_large(path, n_tokens=262_144, n_merges=514_906)
    best = min(timed(lambda: read(path)) for _ in range(3))
    tracemalloc.start()
    found = read(path)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert found.metadata["tokenizer.ggml.merges"] == Array("string", 514_906, None)
    assert peak < 4 * MIB
    assert best < 1.0  # 0.1 s on a free machine; the package that converts models takes seconds


def timed(work: Callable[[], object]) -> float:
    began = time.process_time()
    work()
    return time.process_time() - began


def test_check_accepts_models_adapters_and_vocabularies(tmp_path: Path) -> None:
    for file in (
        write_bert(tmp_path / "bert.gguf"),
        write_lora(tmp_path / "lora.gguf", seed=1),
        write_recurrent(tmp_path / "mamba.gguf", "mamba"),
        ggufs.write_large(tmp_path / "vocabulary.gguf", n_tokens=10, n_merges=0),
    ):
        assert modelfile.check(file) == file
        assert len(read(file).tensors) == len(GGUFReader(file).tensors)


def test_check_follows_links(tmp_path: Path) -> None:
    file, link = write_bert(tmp_path / "bert.gguf"), tmp_path / "default.gguf"
    link.symlink_to("bert.gguf")
    assert modelfile.check(link) == file


@pytest.mark.parametrize("named", range(3))
def test_split_model_is_whole_whichever_part_is_named(tmp_path: Path, named: int) -> None:
    paths = ggufs.write_split(tmp_path)
    found = read(paths[named])
    assert found.paths == tuple(paths)
    assert [(tensor.name, tensor.part) for tensor in found.tensors] == [(f"blk.{i}.x", i) for i in range(3)]
    assert found.n_bytes == sum(part.stat().st_size for part in paths)
    assert found.architecture == "llama"
    assert modelfile.check(paths[named]) == paths[0]


def test_parts_lie_beside_the_name_and_not_beside_what_it_links_to(tmp_path: Path) -> None:
    """The layout of Hugging Face's cache, where each name links to a file called by its checksum."""
    paths, blobs = ggufs.write_split(tmp_path), tmp_path / "blobs"
    blobs.mkdir()
    for place, part in enumerate(paths):
        part.rename(blobs / str(place))
        part.symlink_to(blobs / str(place))
    link = tmp_path / "default.gguf"
    link.symlink_to(paths[1].name)
    assert read(link).paths == tuple(paths)


@pytest.mark.parametrize("part", [1, 2])
def test_missing_part_is_named(tmp_path: Path, part: int) -> None:
    paths = ggufs.write_split(tmp_path)
    paths[part].unlink()
    with pytest.raises(ModelFileMissing, match=rf"{paths[part].name} is missing, part {part + 1} of 3"):
        read(paths[0])


def test_split_without_its_first_part_is_not_read_from_another(tmp_path: Path) -> None:
    paths = ggufs.write_split(tmp_path)
    paths[0].unlink()
    with pytest.raises(ModelFileMissing, match=paths[0].name):
        read(paths[2])


def rewrite(path: Path, part: int, count: int, *, n_tensors: int = 3, name: str = "again") -> None:
    path.write_bytes(ggufs.build(ggufs.part_keys(part, count, n_tensors), [Row(name, (8,), 32)]).data)


@pytest.mark.parametrize(
    ("spoil", "says"),
    [
        (lambda p: os.replace(p[2], p[1]), "-00003-of-00003.gguf is missing"),
        (lambda p: p[1].write_bytes(p[2].read_bytes()), "is part 3 of 3 by its header and part 2 of 3 by its name"),
        (lambda p: p[1].write_bytes(p[0].read_bytes()), "is part 1 of 3 by its header and part 2"),
        (lambda p: (p[2].unlink(), p[2].symlink_to(p[0].name)), "is part 1 of 3 by its header and part 3"),
        (lambda p: (p[2].unlink(), p[2].symlink_to(p[2].name)), "cannot read the model file"),
        (lambda p: rewrite(p[1], 1, 4), "is part 2 of 4 by its header"),
        (lambda p: rewrite(p[1], 1, 1), "is part 1 of 1 by its header"),
        (lambda p: rewrite(p[0], 7, 3), "is part 8 of 3 of a split model by its header, but not by its name"),
        (lambda p: rewrite(p[0], 0, 65_535), "must be like 'big-00001-of-65535.gguf'"),
        (lambda p: rewrite(p[0], 0, 3, n_tensors=4), "announces 4 tensors, its 3 parts hold 3"),
        (lambda p: rewrite(p[0], 0, 3, n_tensors=-1), "announces -1 tensors"),
        (lambda p: rewrite(p[1], 1, 3, name="blk.2.x"), r"tensor 'blk\.2\.x', which is in .*00002"),
        (lambda p: (p[1].unlink(), p[1].mkdir()), "is a folder"),
        (lambda p: (p[1].unlink(), os.mkfifo(p[1])), "is a pipe or a device"),
        (lambda p: p[2].write_bytes(p[2].read_bytes()[:-1]), r"00003-of-00003\.gguf is cut short"),
    ],
)
def test_parts_that_do_not_belong_together_are_refused(
    tmp_path: Path, spoil: Callable[[list[Path]], object], says: str
) -> None:
    paths = ggufs.write_split(tmp_path)
    spoil(paths)
    with pytest.raises((ModelFileMissing, ModelFileBroken), match=says) as refused:
        read(paths[0])
    assert len(str(refused.value).splitlines()) == 1
    assert modelfile.GET_ONE in str(refused.value) or "cannot read" in str(refused.value)


def test_renamed_part_is_asked_for_its_name(tmp_path: Path) -> None:
    path = ggufs.write_split(tmp_path)[0].rename(tmp_path / "mine.gguf")
    with pytest.raises(ModelFileBroken, match=r"must be like 'mine-00001-of-00003\.gguf'"):
        read(path)


def test_name_like_a_parts_does_not_make_a_whole_model_a_split_one(tmp_path: Path) -> None:
    file = tmp_path / ggufs.part_name("big", 1, 3)
    file.write_bytes(ggufs.small().data)
    assert read(file).paths == (file,)
    assert {tensor.part for tensor in read(file).tensors} == {0}
