"""Refuse a model file that cannot be loaded before anything is loaded or bound. Reads its header, not its weights."""

from __future__ import annotations

from pathlib import Path

from llmserver.offload import gguf

GET_ONE = gguf.GET_ONE


def check(path: Path) -> Path:
    """Return the path with links resolved if it is a whole GGUF file; of a split model, its first part.

    Models, adapters and files with only a vocabulary pass alike. Raises ModelFileMissing or ModelFileBroken, each
    with the command that gets a working model.
    """
    return gguf.read(path).paths[0]
