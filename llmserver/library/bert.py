"""Make a GGUF file of a BERT checkpoint that sentence-transformers saved: embeddings, mean of the tokens, Q8_0.

numpy alone does it, in seconds, so that the first embedding model needs no converter. Names and settings are those of
llama.cpp's architecture `bert` (src/llama-arch.cpp), the vocabulary's form that of its WordPiece tokenizer.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from llmserver.errors import ModelFileBroken
from llmserver.library import convert_source, convert_weights, gguf_write
from llmserver.library.gguf_write import Array, Int32s, Value, Written

_MEAN = 1  # llama_pooling_type in llama.h
_NORMAL, _CONTROL = 1, 3  # llama_token_type
_MOSTLY_Q8_0, _QUANTIZATION_VERSION = 7, 2
_WORD_BEGIN, _CONTINUED = "\u2581", "##"
_SPECIAL = {"[UNK]": "unknown", "[SEP]": "seperator", "[PAD]": "padding", "[MASK]": "mask"}  # llama.cpp's spelling
_LOOSE = {
    "embeddings.word_embeddings.weight": "token_embd.weight",
    "embeddings.position_embeddings.weight": "position_embd.weight",
    "embeddings.token_type_embeddings.weight": "token_types.weight",
    "embeddings.LayerNorm": "token_embd_norm",
}
_OF_A_LAYER = {
    "attention.self.query": "attn_q",
    "attention.self.key": "attn_k",
    "attention.self.value": "attn_v",
    "attention.output.dense": "attn_output",
    "attention.output.LayerNorm": "attn_output_norm",
    "intermediate.dense": "ffn_up",
    "output.dense": "ffn_down",
    "output.LayerNorm": "layer_output_norm",
}


def convert(folder: Path, name: str, license_name: str, out: BinaryIO) -> None:
    """Write the model of a folder. Raises ModelFileBroken or ModelFileMissing for what is no such checkpoint."""
    config = convert_source.load(folder / "config.json")
    _check(folder, config)
    n_ctx = _number(folder / "sentence_bert_config.json", "max_seq_length")
    tokens = (folder / "vocab.txt").read_text(encoding="utf-8").splitlines()
    settings = _settings(config, n_ctx) | _vocabulary(folder, tokens)
    settings = {"general.architecture": "bert", "general.name": name, "general.license": license_name} | settings
    try:
        gguf_write.write(out, settings, _tensors(folder / "model.safetensors", config, n_ctx))
    except (KeyError, ValueError) as why:
        raise ModelFileBroken(f"{folder} is no BERT that can be converted here: {why}") from why


def _check(folder: Path, config: dict[str, Any]) -> None:
    """Refuse what would be written wrongly: other activations, positions or poolings than this file knows."""
    pooling = convert_source.load(folder / "1_Pooling" / "config.json")
    wanted = {"model_type": "bert", "hidden_act": "gelu", "position_embedding_type": "absolute"}
    odd = [key for key, value in wanted.items() if config.get(key) != value]
    if not pooling.get("pooling_mode_mean_tokens"):
        odd.append("pooling_mode_mean_tokens")
    if odd:
        raise ModelFileBroken(f"{folder} is no BERT that can be converted here: {odd[0]} is another one")


def _number(path: Path, key: str) -> int:
    value = convert_source.load(path).get(key)
    if not isinstance(value, int) or value < 1:
        raise ModelFileBroken(f"{path} has no {key}")
    return value


def _settings(config: dict[str, Any], n_ctx: int) -> dict[str, Value]:
    return {
        "general.type": "model",
        "general.file_type": _MOSTLY_Q8_0,
        "general.quantization_version": _QUANTIZATION_VERSION,
        "bert.block_count": int(config["num_hidden_layers"]),
        "bert.context_length": n_ctx,
        "bert.embedding_length": int(config["hidden_size"]),
        "bert.feed_forward_length": int(config["intermediate_size"]),
        "bert.attention.head_count": int(config["num_attention_heads"]),
        "bert.attention.layer_norm_epsilon": float(config["layer_norm_eps"]),
        "bert.attention.causal": False,
        "bert.pooling_type": _MEAN,
    }


def _vocabulary(folder: Path, tokens: list[str]) -> dict[str, Value]:
    """The tokens as llama.cpp has them: a mark before what begins a word, none before what continues one."""
    places = {token: place for place, token in enumerate(tokens)}
    ids: dict[str, Value] = {f"tokenizer.ggml.{key}_token_id": places[token] for token, key in _SPECIAL.items()}
    tokenizer = convert_source.load(folder / "tokenizer_config.json")
    special = {*_SPECIAL, "[CLS]"}
    return {
        "tokenizer.ggml.model": "bert",
        "tokenizer.ggml.pre": "default",
        "tokenizer.ggml.tokens": [token if token in special else _marked(token) for token in tokens],
        "tokenizer.ggml.token_type": Int32s([_CONTROL if token in special else _NORMAL for token in tokens]),
        "tokenizer.ggml.token_type_count": 2,
        "tokenizer.ggml.bos_token_id": places["[CLS]"],
        "tokenizer.ggml.eos_token_id": places["[SEP]"],
        **ids,
        "tokenizer.ggml.add_bos_token": True,
        "tokenizer.ggml.add_eos_token": True,
        "tokenizer.ggml.add_sep_token": False,
        "tokenizer.ggml.normalizer.lowercase": bool(tokenizer.get("do_lower_case", True)),
    }


def _marked(token: str) -> str:
    return token.removeprefix(_CONTINUED) if token.startswith(_CONTINUED) else _WORD_BEGIN + token


def _tensors(path: Path, config: dict[str, Any], n_ctx: int) -> Iterator[Written]:
    """The weights under llama.cpp's names; matrices of Q8_0, tables of few rows, norms and biases of float32."""
    found = {tensor.name.removeprefix("bert."): tensor for tensor in convert_weights.read(path).tensors}
    with path.open("rb") as file:
        for theirs, ours in _names(int(config["num_hidden_layers"])).items():
            tensor = found[theirs]
            if tensor.dtype != "F32":
                raise ValueError(f"{theirs} is of type {tensor.dtype}, not F32")
            file.seek(tensor.start)
            values: Array = np.frombuffer(file.read(tensor.n_bytes), "<f4").reshape(tensor.shape)
            if ours == "position_embd.weight":
                values = values[:n_ctx]  # what is beyond was not trained with the rest
            is_plain = values.ndim == 1 or ours in ("position_embd.weight", "token_types.weight")
            yield (gguf_write.as_f32 if is_plain else gguf_write.as_q8_0)(ours, values)


def _names(n_layer: int) -> dict[str, str]:
    """Their name of each tensor, and ours."""
    pairs = {theirs: ours for theirs, ours in _LOOSE.items() if theirs.endswith(".weight")}
    both = {theirs: ours for theirs, ours in _LOOSE.items() if theirs not in pairs}
    for layer in range(n_layer):
        both |= {f"encoder.layer.{layer}.{theirs}": f"blk.{layer}.{ours}" for theirs, ours in _OF_A_LAYER.items()}
    for part in ("weight", "bias"):
        pairs |= {f"{theirs}.{part}": f"{ours}.{part}" for theirs, ours in both.items()}
    return pairs
