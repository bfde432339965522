"""BERT in numpy, for comparison with what llama.cpp computes: WordPiece, the encoder, the mean of the tokens.

    python -m tests.server.bert_numpy FOLDER    prints the stored vectors of a checkpoint, made from its f32 weights

After "BERT: Pre-training of Deep Bidirectional Transformers" (Devlin et al., 2018); knows no GGUF and no llama.cpp.
"""

from __future__ import annotations

import base64
import json
import math
import sys
import unicodedata
from pathlib import Path
from typing import Any

import numpy as np

from llmserver.library import convert_weights

Array = np.ndarray[Any, Any]
TEXTS = [
    "How do I boil an egg?",
    "The committee will meet on 14 March to decide about the new library.",
    "for (int i = 0; i < n; ++i) { total += values[i]; }",
    "Crème brûlée, naïve façade: accents are taken off.",
    "Photosynthesis turns light into chemical energy.",
    "x",
    " ".join(
        ["A long text is cut into pieces, each of which is embedded on its own, and the best ones are shown."] * 8
    ),
]


def words(text: str) -> list[str]:
    """Lower case without accents, cut at white space and around each mark."""
    plain = "".join(c for c in unicodedata.normalize("NFD", text.lower()) if unicodedata.category(c) != "Mn")
    apart = "".join(f" {c} " if not c.isalnum() and not c.isspace() else c for c in plain)
    return apart.split()


def wordpiece(text: str, places: dict[str, int]) -> list[int]:
    """The longest pieces that the vocabulary has, between [CLS] and [SEP]."""
    found = [places["[CLS]"]]
    for word in words(text):
        pieces, start = [], 0
        while start < len(word):
            marked = "##" if start else ""
            end = next((e for e in range(len(word), start, -1) if marked + word[start:e] in places), start)
            if end == start:
                pieces = [places["[UNK]"]]
                break
            pieces.append(places[marked + word[start:end]])
            start = end
        found += pieces
    return [*found, places["[SEP]"]]


def weights(path: Path) -> dict[str, Array]:
    """The tensors of a safetensors file."""
    data = path.read_bytes()
    return {
        one.name: np.frombuffer(data, "<f4", one.n_bytes // 4, one.start).reshape(one.shape)
        for one in convert_weights.read(path).tensors
        if one.dtype == "F32"
    }


def embed(tokens: list[int], w: dict[str, Array], n_layer: int, n_head: int) -> Array:
    """The mean of the last layer's rows, of length one."""
    x = w["embeddings.word_embeddings.weight"][tokens] + w["embeddings.position_embeddings.weight"][: len(tokens)]
    x = _norm(x + w["embeddings.token_type_embeddings.weight"][0], w, "embeddings.LayerNorm")
    for layer in range(n_layer):
        at = f"encoder.layer.{layer}"
        mixed = _attention(x, w, f"{at}.attention.self", n_head)
        x = _norm(x + _linear(mixed, w, f"{at}.attention.output.dense"), w, f"{at}.attention.output.LayerNorm")
        inner = _gelu(_linear(x, w, f"{at}.intermediate.dense"))
        x = _norm(x + _linear(inner, w, f"{at}.output.dense"), w, f"{at}.output.LayerNorm")
    mean = x.mean(axis=0)
    return mean / np.linalg.norm(mean)


def _attention(x: Array, w: dict[str, Array], at: str, n_head: int) -> Array:
    n, n_embd = x.shape
    q, k, v = (
        _linear(x, w, f"{at}.{part}").reshape(n, n_head, -1).transpose(1, 0, 2) for part in ("query", "key", "value")
    )
    scores = q @ k.transpose(0, 2, 1) / math.sqrt(n_embd // n_head)
    shares = np.exp(scores - scores.max(axis=-1, keepdims=True))
    return (shares / shares.sum(axis=-1, keepdims=True) @ v).transpose(1, 0, 2).reshape(n, n_embd)


def _linear(x: Array, w: dict[str, Array], at: str) -> Array:
    return x @ w[f"{at}.weight"].T + w[f"{at}.bias"]


def _norm(x: Array, w: dict[str, Array], at: str) -> Array:
    spread = np.sqrt(x.var(axis=-1, keepdims=True) + 1e-12)
    return (x - x.mean(axis=-1, keepdims=True)) / spread * w[f"{at}.weight"] + w[f"{at}.bias"]


def _gelu(x: Array) -> Array:
    return x * 0.5 * (1.0 + np.vectorize(math.erf)(x / math.sqrt(2.0)))


def vectors(folder: Path, texts: list[str]) -> Array:
    """One row a text, by the checkpoint in a folder."""
    config = json.loads((folder / "config.json").read_text())
    places = {token: i for i, token in enumerate((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())}
    w = weights(folder / "model.safetensors")
    n_layer, n_head = config["num_hidden_layers"], config["num_attention_heads"]
    return np.stack([embed(wordpiece(text, places), w, n_layer, n_head) for text in texts])


def stored(folder: Path, texts: list[str]) -> str:
    """What a file of stored vectors holds."""
    found = vectors(folder, texts).astype("<f2")
    rows = [
        {"text": text, "vector": base64.b64encode(row.tobytes()).decode()}
        for text, row in zip(texts, found, strict=True)
    ]
    return json.dumps(rows, indent=1, ensure_ascii=False) + "\n"


if __name__ == "__main__":
    sys.stdout.write(stored(Path(sys.argv[1]), TEXTS))
