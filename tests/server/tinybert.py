"""Write small BERT models with random weights as GGUF files: one that embeds, one that ranks. They know nothing."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from gguf import GGUFWriter, PoolingType

LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789.,!?"
WORDS = ("the", "sea", "river", "mountain", "music", "piano", "bread", "and", "of", "a")
SPECIAL = ("[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]")
PAD, UNK, CLS, SEP, MASK = range(5)
_BEGIN = "\u2581"  # marks the begin of a word in llama.cpp's form of the vocabulary
_CONTROL, _NORMAL = 3, 1


def write_bert(
    path: Path,
    *,
    ranks: bool = False,
    n_embd: int = 32,
    n_layer: int = 2,
    n_head: int = 4,
    n_ctx: int = 128,
    seed: int = 1,
) -> Path:
    """A model of llama.cpp's architecture bert: mean pooling, or a score at its first token where it ranks."""
    writer = GGUFWriter(path, "bert")
    writer.add_name("tiny")
    writer.add_context_length(n_ctx)
    writer.add_embedding_length(n_embd)
    writer.add_feed_forward_length(4 * n_embd)
    writer.add_block_count(n_layer)
    writer.add_head_count(n_head)
    writer.add_layer_norm_eps(1e-12)
    writer.add_causal_attention(False)
    writer.add_pooling_type(PoolingType.RANK if ranks else PoolingType.MEAN)
    n_vocab = _add_vocabulary(writer)
    for name, shape in _shapes(n_embd, n_layer, n_ctx, n_vocab, ranks=ranks):
        writer.add_tensor(name, _values(name, shape, seed))
        seed += 1
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _add_vocabulary(writer: GGUFWriter) -> int:
    words = [_BEGIN + word for word in (*WORDS, *LETTERS) if len(word) > 1 or word in LETTERS]
    tokens = [*SPECIAL, *dict.fromkeys(words), *LETTERS]
    writer.add_tokenizer_model("bert")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_types([_CONTROL if token in SPECIAL else _NORMAL for token in tokens])
    writer.add_token_type_count(2)
    writer.add_bos_token_id(CLS)
    writer.add_eos_token_id(SEP)
    writer.add_unk_token_id(UNK)
    writer.add_sep_token_id(SEP)
    writer.add_pad_token_id(PAD)
    writer.add_mask_token_id(MASK)
    return len(tokens)


def _shapes(n_embd: int, n_layer: int, n_ctx: int, n_vocab: int, *, ranks: bool) -> list[tuple[str, tuple[int, ...]]]:
    n_ff = 4 * n_embd
    found: list[tuple[str, tuple[int, ...]]] = [
        ("token_embd.weight", (n_vocab, n_embd)),
        ("token_types.weight", (2, n_embd)),
        ("position_embd.weight", (n_ctx, n_embd)),
        ("token_embd_norm.weight", (n_embd,)),
        ("token_embd_norm.bias", (n_embd,)),
    ]
    for i in range(n_layer):
        for part in ("attn_q", "attn_k", "attn_v", "attn_output"):
            found += [(f"blk.{i}.{part}.weight", (n_embd, n_embd)), (f"blk.{i}.{part}.bias", (n_embd,))]
        found += [(f"blk.{i}.ffn_up.weight", (n_ff, n_embd)), (f"blk.{i}.ffn_up.bias", (n_ff,))]
        found += [(f"blk.{i}.ffn_down.weight", (n_embd, n_ff)), (f"blk.{i}.ffn_down.bias", (n_embd,))]
        for norm in ("attn_output_norm", "layer_output_norm"):
            found += [(f"blk.{i}.{norm}.weight", (n_embd,)), (f"blk.{i}.{norm}.bias", (n_embd,))]
    if ranks:
        found += [("cls.weight", (n_embd, n_embd)), ("cls.bias", (n_embd,))]
        found += [("cls.output.weight", (1, n_embd)), ("cls.output.bias", (1,))]
    return found


def _values(name: str, shape: tuple[int, ...], seed: int) -> np.ndarray:
    """Norms are neutral; all else is random and large enough for different texts to end up apart."""
    if "norm" in name:
        return np.full(shape, float(name.endswith("weight")), np.float32)
    return np.random.default_rng(seed).normal(0.0, 0.3, shape).astype(np.float32)
