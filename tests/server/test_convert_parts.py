"""The parts of `models import`: damaged weight files, adding a LoRA to weights, getting the converter."""

from __future__ import annotations

import io
import json
import sys
import tarfile
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

from llmserver.errors import BadSettings, CommandFailed, DownloadError, ModelFileBroken
from llmserver.library import convert_merge, convert_place, convert_source, convert_weights
from tests.server.tiny_hf import Array, Arrays, lora, weights, write_adapter, write_checkpoint, write_safetensors

QUERY = "model.layers.0.self_attn.q_proj.weight"
_PARTS = "base_model.model.model.layers.0.self_attn.q_proj"


def arrays_in(path: Path) -> dict[str, Array]:
    """What a safetensors file holds, BF16 as uint16."""
    kinds = {"F32": "<f4", "F16": "<f2", "BF16": "<u2"}
    data = path.read_bytes()
    start = 8 + int.from_bytes(data[:8], "little")
    header = {name: entry for name, entry in json.loads(data[8:start]).items() if name != "__metadata__"}
    return {
        name: np.frombuffer(data[start:][slice(*one["data_offsets"])], kinds[one["dtype"]]).reshape(one["shape"])
        for name, one in header.items()
    }


def merged(tmp_path: Path, arrays: Arrays, adapter: Arrays, **config: object) -> dict[str, Array]:
    source = convert_source.checkpoint(write_checkpoint(tmp_path / "model", arrays))
    found = convert_source.adapter(write_adapter(tmp_path / "lora", adapter, **config))
    (tmp_path / "copies").mkdir()
    paths = convert_merge.merge(source, found, tmp_path / "copies", lambda _done, _total: None)
    assert convert_merge.changed_bytes(source, found) == (tmp_path / "copies" / "model.safetensors").stat().st_size
    return arrays_in(paths["model.safetensors"])


def added(adapter: Arrays, scale: float) -> Array:
    found: Array = scale * (adapter[f"{_PARTS}.lora_B.weight"] @ adapter[f"{_PARTS}.lora_A.weight"])
    return found


@pytest.mark.parametrize(
    ("config", "scale"), [({}, 2.0), ({"use_rslora": True}, 4.0)], ids=["plain", "rank-stabilized"]
)
def test_adapter_adds_b_times_a_times_its_scale(tmp_path: Path, config: dict[str, object], scale: float) -> None:
    before, adapter = weights(), lora()
    after = merged(tmp_path, before, adapter, **config)
    np.testing.assert_allclose(after[QUERY], before[QUERY] + added(adapter, scale), rtol=1e-5, atol=1e-6)
    changed = {name for name in before if not np.array_equal(before[name], after[name])}
    block = "model.layers.0"
    assert changed == {QUERY, f"{block}.self_attn.v_proj.weight", f"{block}.mlp.down_proj.weight"}


def test_large_weight_is_changed_piece_by_piece(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(convert_merge, "_PIECE_BYTES", 7 * 4 * 256)  # seven rows, which divides no number of rows
    before, adapter = weights(), lora()
    after = merged(tmp_path, before, adapter)
    np.testing.assert_allclose(after[QUERY], before[QUERY] + added(adapter, 2.0), rtol=1e-5, atol=1e-6)


def test_weights_with_inputs_as_rows_are_changed_the_other_way_round(tmp_path: Path) -> None:
    before, adapter = weights(), {name: array for name, array in lora().items() if "q_proj" in name}
    after = merged(tmp_path, before, adapter, fan_in_fan_out=True)
    np.testing.assert_allclose(after[QUERY], before[QUERY] + added(adapter, 2.0).T, rtol=1e-5, atol=1e-6)


def test_half_precision_is_rounded_to_the_nearest(tmp_path: Path) -> None:
    before = {name: array.astype("<f2") for name, array in weights().items()}
    adapter = lora()
    wanted = (before[QUERY].astype("<f4") + added(adapter, 2.0)).astype("<f2")
    np.testing.assert_allclose(merged(tmp_path, before, adapter)[QUERY], wanted, rtol=1e-3)


def test_bfloat16_is_rounded_to_the_nearest_and_ties_to_even(tmp_path: Path) -> None:
    ones = np.full((256, 256), 0x3F80, dtype="<u2")  # 1.0; the next one up is 1.0078125
    before = {name: array.astype("<u2") for name, array in weights().items()} | {QUERY: ones}
    steps = np.zeros((256, 1), dtype="<f4")
    steps[:5, 0] = [0.0078125, 0.00390625, 0.004, 0.01171875, np.nan]
    row = np.zeros((1, 256), dtype="<f4")
    row[0, 0] = 1
    adapter = {f"{_PARTS}.lora_A.weight": row, f"{_PARTS}.lora_B.weight": steps}
    after = merged(tmp_path, before, adapter, lora_alpha=1)[QUERY]
    assert [f"{bits:04X}" for bits in after[:6, 0]] == ["3F81", "3F80", "3F81", "3F82", "7FC0", "3F80"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({f"{_PARTS}.lora_magnitude_vector": np.ones(256, "<f4")}, "which is more than plain LoRA"),
        ({"base_model.model.other.lora_A.weight": np.ones((4, 256), "<f4")}, "has only half of the change to other.we"),
        ({f"{_PARTS}.lora_A.weight": np.ones((4, 99), "<f4")}, "is 256x256 here, and what it adds is 256x4 times 4x99"),
        ({f"{_PARTS}.lora_A.weight": np.ones((4, 256), "|u1")}, "is U8: an adapter can be merged into"),
        ({name.replace("layers.0", "layers.9"): array for name, array in lora().items()}, "which model does not have"),
    ],
)
def test_adapter_that_does_not_fit_is_one_sentence(tmp_path: Path, change: Arrays, says: str) -> None:
    with pytest.raises((BadSettings, ModelFileBroken)) as refused:
        merged(tmp_path, weights(), lora() | dict(change))
    assert says in refused.value.message


def header(**tensors: object) -> bytes:
    text = json.dumps(tensors).encode()
    return len(text).to_bytes(8, "little") + text


def entry(shape: object, offsets: object, dtype: object = "F32") -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": offsets}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (header(a=entry([2], [0, 8])) + bytes(4), "is cut short: "),
        (header(a=entry([2], [0, 8])) + bytes(9), "1 bytes follow its last tensor"),
        (header(a=entry([3], [0, 8])) + bytes(8), "does not fit its 8 bytes"),
        (header(a=entry([2], [4, 12])) + bytes(12), "does not begin where"),
        (header(a=entry([2], [0, 8]), b=entry([2], [4, 12])) + bytes(12), "does not begin where"),
        (header(a=entry([-2], [0, 8])) + bytes(8), "no possible place or shape"),
        (header(a=entry([True], [0, 4])) + bytes(4), "no possible place or shape"),
        (header(a=entry([1 << 70], [0, 4], "F4")) + bytes(2), "is cut short"),
        (header(a=entry("ab", [0, 8])) + bytes(8), "no possible place or shape"),
        (header(a=entry([1], [8, 0])) + bytes(8), "no possible place or shape"),
        (header(a=entry([1], [0])) + bytes(8), "says nothing useful"),
        (header(a=1), "says nothing useful"),
        ((2).to_bytes(8, "little") + b"[]", "no JSON object"),
        ((2).to_bytes(8, "little") + b"\xff\xff", "not JSON"),
        ((1 << 40).to_bytes(8, "little"), "is no safetensors file"),
        ((50).to_bytes(8, "little") + b"{}", "is cut short"),
    ],
)
def test_damaged_weight_file_is_refused_by_its_header(tmp_path: Path, content: bytes, says: str) -> None:
    path = tmp_path / "model.safetensors"
    path.write_bytes(content)
    with pytest.raises(ModelFileBroken) as refused:
        convert_weights.read(path)
    assert says in refused.value.message


def test_whole_weight_file_is_read(tmp_path: Path) -> None:
    path = write_safetensors(tmp_path / "model.safetensors", {"b": np.ones((2, 3), "<f4"), "a": np.ones(5, "<f2")})
    found = convert_weights.read(path)
    assert [(one.name, one.dtype, one.shape, one.n_bytes) for one in found.tensors] == [
        ("b", "F32", (2, 3), 24),
        ("a", "F16", (5,), 10),
    ]


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return tmp_path / "cache" / "paddock" / "converter"


def source_package(path: Path, *more: str) -> Path:
    """A source package as PyPI's, with the converter and files that do not belong to it."""
    names = ["CMakeLists.txt", "convert_hf_to_gguf.py", "convert_lora_to_gguf.py", "conversion/__init__.py"]
    names += ["gguf-py/gguf/__init__.py", "gguf-py/tests/test.py", "models/templates/a.jinja", "src/llama.cpp", *more]
    with tarfile.open(path, "w:gz") as archive:
        for name in names:
            member = tarfile.TarInfo(f"llama_cpp_python-1/vendor/llama.cpp/{name}")
            content = b'{"LlamaForCausalLM": "llama"}'
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def stand_in(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> None:
    """Let a shell script stand in for our Python when it is asked for pip or venv."""
    python = tmp_path / "python"
    python.write_text(f"#!/bin/sh\n{script}\n")
    python.chmod(0o755)
    monkeypatch.setattr(sys, "executable", str(python))


def pip(tmp_path: Path, archive: Path, install: str = "true") -> str:
    """A pip that has the archive and a venv whose pip does what `install` says; each call is written to a file."""
    return f"""
echo "$@" >> {tmp_path}/calls
for word in "$@"; do
  case $word in
    --dest=*) cp {archive} "${{word#--dest=}}" ;;
    venv) mkdir -p "$3/bin" && printf '#!/bin/sh\\necho "$@" >> {tmp_path}/calls\\n{install}\\n' > "$3/bin/python" &&
      chmod +x "$3/bin/python" ;;
  esac
done"""


def files_in(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


def test_converter_is_made_once_of_the_wanted_files_only(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = source_package(tmp_path / "llama_cpp_python-1.tar.gz", "conversion/../../../../escaped.py")
    stand_in(tmp_path, monkeypatch, pip(tmp_path, archive))
    (cache / "llama.cpp-0.0.1").mkdir(parents=True)
    said: list[str] = []
    place = convert_place.get(["LlamaForCausalLM"], said.append)
    assert files_in(place.scripts) == [
        ".complete",
        "conversion/__init__.py",
        "convert_hf_to_gguf.py",
        "convert_lora_to_gguf.py",
        "gguf-py/gguf/__init__.py",
        "models/templates/a.jinja",
    ]
    assert not list(tmp_path.rglob("escaped.py"))
    assert not (cache / "llama.cpp-0.0.1").exists()
    assert ["about 80 MB" in said[0], "about 250 MB to download" in said[1]] == [True, True]
    n_calls = len((tmp_path / "calls").read_text().splitlines())
    assert convert_place.get(["LlamaForCausalLM"], said.append) == place
    assert convert_place.is_here()
    assert (len((tmp_path / "calls").read_text().splitlines()), len(said)) == (n_calls, 2)


def test_pytorch_for_processors_is_asked_for_before_the_large_one(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("platform.system", lambda: "Linux")
    archive = source_package(tmp_path / "llama_cpp_python-1.tar.gz")
    only_large = 'case "$*" in *+cpu*) echo "ERROR: no such thing" >&2; exit 1 ;; esac'
    stand_in(tmp_path, monkeypatch, pip(tmp_path, archive, only_large))
    said: list[str] = []
    convert_place.get([], said.append)
    asked = [line for line in (tmp_path / "calls").read_text().splitlines() if "install" in line]
    assert ["+cpu" in line for line in asked] == [True, True, False]
    assert ["extra-index-url" in line for line in asked] == [False, True, False]
    assert "about 3 GB to download" in said[-1]


def test_environment_that_cannot_be_made_leaves_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = source_package(tmp_path / "llama_cpp_python-1.tar.gz")
    stand_in(tmp_path, monkeypatch, pip(tmp_path, archive, "echo ERROR: no network >&2; exit 1"))
    with pytest.raises(DownloadError, match="pip could not install what the converter imports: no network"):
        convert_place.get([], lambda _: None)
    assert not convert_place.environment_folder().exists()
    assert (convert_place.scripts_folder() / ".complete").exists()


@pytest.mark.parametrize(
    ("script", "says"),
    [
        ("echo 'ERROR: No matching distribution found' >&2; exit 1", "source of llama-cpp-python==.*: No matching dis"),
        ("true", "holds no converter"),
        ('for w in "$@"; do case $w in --dest=*) echo x > "${w#--dest=}/a.tar.gz" ;; esac; done', "arrived damaged"),
    ],
)
def test_scripts_that_cannot_be_had_are_one_sentence_and_leave_nothing(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch, script: str, says: str
) -> None:
    stand_in(tmp_path, monkeypatch, script)
    with pytest.raises(DownloadError, match=says):
        convert_place.get([], lambda _: None)
    assert files_in(cache) == [".lock"]


def test_place_without_room_is_refused_with_both_numbers(
    tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("shutil.disk_usage", lambda _: SimpleNamespace(free=3_000_000))
    with pytest.raises(CommandFailed, match=r"the converter needs 400 MB at .*, 3 MB are free"):
        convert_place.get([], lambda _: None)
