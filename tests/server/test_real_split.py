"""A model in several files is served whole, whichever of them, or a link to one, was named."""

from __future__ import annotations

from pathlib import Path

import pytest
from gguf import GGUFReader, GGUFValueType, GGUFWriter

from llmserver import settings
from llmserver.engine.llama.load import open_model
from llmserver.errors import ModelFileMissing
from tests.processes import MODEL

pytestmark = pytest.mark.model


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    folder = tmp_path_factory.mktemp("parts")
    reader = GGUFReader(MODEL)
    writer = GGUFWriter(folder / "m.gguf", "llama", split_max_tensors=100)
    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        inner = field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        writer.add_key_value(field.name, field.contents(), field.types[0], sub_type=inner)
    for tensor in reader.tensors:
        writer.add_tensor(tensor.name, tensor.data, raw_dtype=tensor.tensor_type)
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return sorted(folder.glob("*.gguf"))


def load(path: Path) -> int:
    model = open_model(settings.load(["--model", str(path), "--n_ctx", "256"]).models[0])
    model.free()
    return model.n_ctx


def test_any_part_and_a_link_to_one_load_the_whole(parts: list[Path], tmp_path: Path) -> None:
    assert len(parts) == 3
    link = tmp_path / "default.gguf"
    link.symlink_to(parts[0])
    assert [load(path) for path in (parts[0], parts[2], link)] == [256] * 3


def test_a_part_that_is_missing_is_named(parts: list[Path], tmp_path: Path) -> None:
    for part in (parts[0], parts[2]):
        (tmp_path / part.name).symlink_to(part)
    (tmp_path / parts[0].name).unlink()
    (tmp_path / parts[0].name).write_bytes(parts[0].read_bytes())
    with pytest.raises(ModelFileMissing, match=parts[1].name):
        load(tmp_path / parts[0].name)
