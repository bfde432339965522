"""Refuse a model file that cannot be one before anything is loaded or bound. Reads eight bytes, no more."""

from __future__ import annotations

from pathlib import Path

from llmserver.errors import ModelFileBroken, ModelFileMissing

_MAGIC = b"GGUF"
_VERSIONS = (2, 3)
GET_ONE = "./setup.sh --no-start --model smollm2-135m"


def check(path: Path) -> Path:
    """Return the path with links resolved if it looks like a GGUF file.

    The header is a four-byte magic and a little-endian u32 version (ggml, docs/gguf.md). Raises
    ModelFileMissing or ModelFileBroken, each with the command that gets a working model.
    """
    try:
        with path.open("rb") as file:
            head = file.read(8)
    except FileNotFoundError as why:
        raise ModelFileMissing(f"no model file at {path}: get one with `{GET_ONE}` or name yours with --model") from why
    except IsADirectoryError as why:
        raise ModelFileMissing(f"{path} is a folder, not a model file: get one with `{GET_ONE}`") from why
    except OSError as why:
        raise ModelFileMissing(f"cannot read the model file {path}: {why.strerror}") from why
    if head[:4] != _MAGIC:
        raise ModelFileBroken(f"{path} is not a GGUF model: get one with `{GET_ONE}`")
    version = int.from_bytes(head[4:8], "little")
    if version not in _VERSIONS:
        raise ModelFileBroken(
            f"{path} has GGUF version {version}, versions 2 and 3 can be read: get another file with `{GET_ONE}`"
        )
    return path.resolve()
