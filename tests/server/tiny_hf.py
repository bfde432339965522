"""Write a small Llama as transformers would save it, and LoRA adapters for it as PEFT would."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

N_EMBD, N_FF, N_LAYER, N_HEAD, N_HEAD_KV = 256, 512, 2, 4, 2
N_KV = N_EMBD // N_HEAD * N_HEAD_KV
Array = npt.NDArray[Any]
Arrays = Mapping[str, Array]

_KINDS = {"<f4": "F32", "<f2": "F16", "<u2": "BF16", "|u1": "U8"}
_SPECIAL = ("<unk>", "<s>", "</s>")
_MERGES = ("t h", "th e", "▁ the", "i n", "a n", "an d")


def words() -> list[str]:
    """The vocabulary: special tokens, all bytes, letters, and what is merged of them."""
    letters = [*_SPECIAL, *(f"<0x{byte:02X}>" for byte in range(256)), "▁", *"abcdefghijklmnopqrstuvwxyz"]
    return letters + [merge.replace(" ", "") for merge in _MERGES]


def write_safetensors(path: Path, arrays: Arrays) -> Path:
    """What the package of that name writes; uint16 stands for bfloat16."""
    header: dict[str, object] = {"__metadata__": {"format": "pt"}}
    n_bytes = 0
    for name, array in arrays.items():
        kind, shape, end = _KINDS[array.dtype.str], list(array.shape), n_bytes + array.nbytes
        header[name] = {"dtype": kind, "shape": shape, "data_offsets": [n_bytes, end]}
        n_bytes = end
    text = json.dumps(header).encode()
    path.write_bytes(len(text).to_bytes(8, "little") + text + b"".join(array.tobytes() for array in arrays.values()))
    return path


def weights(seed: int = 7) -> dict[str, Array]:
    """Random weights in float32 under the names that transformers gives them."""
    random = np.random.default_rng(seed)
    shapes = {"model.embed_tokens": (len(words()), N_EMBD), "lm_head": (len(words()), N_EMBD)}
    ones = {"model.norm"}
    for layer in range(N_LAYER):
        block = f"model.layers.{layer}"
        shapes |= {f"{block}.self_attn.{part}_proj": (N_EMBD, N_EMBD) for part in "qo"}
        shapes |= {f"{block}.self_attn.{part}_proj": (N_KV, N_EMBD) for part in "kv"}
        shapes |= {f"{block}.mlp.{part}_proj": (N_FF, N_EMBD) for part in ("gate", "up")}
        shapes |= {f"{block}.mlp.down_proj": (N_EMBD, N_FF)}
        ones |= {f"{block}.input_layernorm", f"{block}.post_attention_layernorm"}
    arrays = {f"{name}.weight": random.normal(0, 0.05, shape).astype("<f4") for name, shape in shapes.items()}
    return arrays | {f"{name}.weight": np.ones(N_EMBD, dtype="<f4") for name in sorted(ones)}


def write_checkpoint(folder: Path, arrays: Arrays | None = None, *, n_parts: int = 1) -> Path:
    """A checkpoint's folder; in several files, with their index, if so many are wanted."""
    folder.mkdir(parents=True)
    arrays = weights() if arrays is None else arrays
    if n_parts == 1:
        write_safetensors(folder / "model.safetensors", arrays)
    else:
        names = sorted(arrays)
        index = {name: f"model-{1 + i % n_parts:05d}-of-{n_parts:05d}.safetensors" for i, name in enumerate(names)}
        for part in sorted(set(index.values())):
            write_safetensors(folder / part, {name: arrays[name] for name in names if index[name] == part})
        (folder / "model.safetensors.index.json").write_text(json.dumps({"metadata": {}, "weight_map": index}))
    (folder / "config.json").write_text(json.dumps(_config()))
    (folder / "tokenizer.json").write_text(json.dumps(_tokenizer(), ensure_ascii=False), encoding="utf-8")
    names_of = {"unk_token": "<unk>", "bos_token": "<s>", "eos_token": "</s>"}
    tokenizer = {"tokenizer_class": "PreTrainedTokenizerFast", "model_max_length": 64, **names_of}
    (folder / "tokenizer_config.json").write_text(json.dumps(tokenizer))
    return folder


def _config() -> dict[str, object]:
    return {
        "architectures": ["LlamaForCausalLM"],
        "model_type": "llama",
        "hidden_size": N_EMBD,
        "intermediate_size": N_FF,
        "num_hidden_layers": N_LAYER,
        "num_attention_heads": N_HEAD,
        "num_key_value_heads": N_HEAD_KV,
        "hidden_act": "silu",
        "rms_norm_eps": 1e-5,
        "rope_theta": 10000.0,
        "max_position_embeddings": 64,
        "vocab_size": len(words()),
        "bos_token_id": 1,
        "eos_token_id": 2,
        "tie_word_embeddings": False,
        "torch_dtype": "float32",
    }


def _tokenizer() -> dict[str, object]:
    flags = dict.fromkeys(("single_word", "lstrip", "rstrip", "normalized"), False)
    space = {"type": "Replace", "pattern": {"String": " "}, "content": "▁"}
    back = {"type": "Replace", "pattern": {"String": "▁"}, "content": " "}
    strip = {"type": "Strip", "content": " ", "start": 1, "stop": 0}
    return {
        "version": "1.0",
        "added_tokens": [{"id": i, "content": name, "special": True, **flags} for i, name in enumerate(_SPECIAL)],
        "normalizer": {"type": "Sequence", "normalizers": [{"type": "Prepend", "prepend": "▁"}, space]},
        "pre_tokenizer": None,
        "post_processor": None,
        "decoder": {"type": "Sequence", "decoders": [back, {"type": "ByteFallback"}, {"type": "Fuse"}, strip]},
        "model": {
            "type": "BPE",
            "unk_token": "<unk>",
            "fuse_unk": True,
            "byte_fallback": True,
            "vocab": {word: i for i, word in enumerate(words())},
            "merges": list(_MERGES),
        },
    }


def lora(rank: int = 4, seed: int = 11) -> dict[str, Array]:
    """A and B for queries, values and one matrix of the feed-forward part of the first layer, by PEFT's names."""
    random = np.random.default_rng(seed)
    block = "base_model.model.model.layers.0"
    shapes = {"self_attn.q_proj": (N_EMBD, N_EMBD), "self_attn.v_proj": (N_KV, N_EMBD), "mlp.down_proj": (N_EMBD, N_FF)}
    arrays = {}
    for name, (n_out, n_in) in shapes.items():
        arrays[f"{block}.{name}.lora_A.weight"] = random.normal(0, 0.2, (rank, n_in)).astype("<f4")
        arrays[f"{block}.{name}.lora_B.weight"] = random.normal(0, 0.2, (n_out, rank)).astype("<f4")
    return arrays


def write_adapter(folder: Path, arrays: Arrays | None = None, **config: object) -> Path:
    """An adapter's folder with alpha 8; `config` changes or adds to adapter_config.json."""
    folder.mkdir(parents=True)
    write_safetensors(folder / "adapter_model.safetensors", lora() if arrays is None else arrays)
    plain = {"peft_type": "LORA", "r": 4, "lora_alpha": 8, "base_model_name_or_path": "owner/some-base"}
    (folder / "adapter_config.json").write_text(json.dumps(plain | config))
    return folder
