"""Read what a GGUF model says about itself, all files of a split one, so that it can be planned before it is loaded.

Decides which files belong together; header.py decides what one file may hold.
"""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from llmserver.errors import ModelFileMissing
from llmserver.offload.cursor import GET_ONE, broken, shown, shown_path
from llmserver.offload.header import MOST_VALUES, Array, File, Tensor, Value, read_file

__all__ = ["GET_ONE", "MOST_VALUES", "Array", "Gguf", "Tensor", "Value", "read"]

_MOST_LINKS = 40  # as many as Linux follows
_PART = re.compile(r"(?P<stem>.+)-[0-9]{5}-of-[0-9]{5}\.gguf", re.DOTALL)


@dataclass(frozen=True)
class Gguf:
    """A whole model: the metadata of its first file, the tensors of all."""

    paths: tuple[Path, ...]
    version: int
    metadata: Mapping[str, Value]
    tensors: tuple[Tensor, ...]
    n_bytes: int  # of all files

    @property
    def architecture(self) -> str:
        """llama.cpp's name for the kind of model, "" where the file has none."""
        return str(self.metadata.get("general.architecture", ""))

    def of(self, key: str) -> Value | None:
        """What the file says about its architecture: of("block_count") is llama.block_count in a Llama."""
        return self.metadata.get(f"{self.architecture}.{key}")


def read(path: Path) -> Gguf:
    """Read the header of a model, of all its parts if it is split; any part may be named.

    Raises ModelFileMissing where there is no file to read and ModelFileBroken where it is none that llama.cpp
    can load, each in one line that says where and what to do.
    """
    named = read_file(_place(path), path)
    files = _parts(named) if named.n_parts > 1 else [named]
    return Gguf(
        paths=tuple(file.path for file in files),
        version=files[0].version,
        metadata=files[0].metadata,
        tensors=tuple(tensor for file in files for tensor in file.tensors),
        n_bytes=sum(file.n_bytes for file in files),
    )


def _place(path: Path) -> Path:
    """Where the file lies, links followed, but only up to a part's name: the other parts lie beside that name."""
    try:
        is_path = b"\0" not in os.fsencode(path)
    except UnicodeEncodeError:
        is_path = False
    if not is_path:
        raise ModelFileMissing(f"{shown_path(path)} cannot be a path: name a model file with --model")
    at = path
    for _ in range(_MOST_LINKS):
        if _PART.fullmatch(at.name):
            return Path(os.path.realpath(at.parent)) / at.name
        try:
            at = at.parent / os.readlink(at)
        except OSError:  # the usual end: it is no link
            break
    return Path(os.path.realpath(path))


def _parts(named: File) -> list[File]:
    """All files of the model that this one is a part of, in order."""
    wanted = _part_name(named, named.part)
    if named.path.name != wanted or named.part >= named.n_parts:
        says = f"is part {named.part + 1} of {named.n_parts} of a split model by its header"
        raise broken(named.path, f"{says}, but not by its name, which must be like {shown(wanted, 255)}")
    paths = [named.path.with_name(_part_name(named, i)) for i in range(named.n_parts)]
    for i, path in enumerate(paths):
        if not os.path.lexists(path):
            raise ModelFileMissing(
                f"{shown_path(path)} is missing, part {i + 1} of {named.n_parts} of this model: "
                f"put it beside the others, or get a model that works with `{GET_ONE}`"
            )
    files = []
    for i, path in enumerate(paths):
        file = named if i == named.part else read_file(path, path)
        if (file.part, file.n_parts) != (i, named.n_parts):
            is_now = f"part {file.part + 1} of {file.n_parts}"
            raise broken(path, f"is {is_now} by its header and part {i + 1} of {named.n_parts} by its name")
        files.append(file)
    _compare(files)
    return files


def _part_name(named: File, part: int) -> str:
    """What a part beside this one must be called (llama.cpp, llama_split_path)."""
    match = _PART.fullmatch(named.path.name)
    stem = match["stem"] if match else named.path.stem
    return f"{stem}-{part + 1:05}-of-{named.n_parts:05}.gguf"


def _compare(files: list[File]) -> None:
    """Refuse parts that do not belong together: a tensor in two of them, or not as many as the first announces."""
    owner: dict[str, File] = {}
    for file in files:
        for tensor in file.tensors:
            if tensor.name in owner:
                other = owner[tensor.name].path.name
                raise broken(file.path, f"has the tensor {shown(tensor.name)}, which is in {shown(other, 255)} too")
            owner[tensor.name] = file
    announced = files[0].n_tensors_of_all
    if len(owner) != announced:
        says = f"announces {announced:,} tensors, its {len(files)} parts hold {len(owner):,}: they are not of one model"
        raise broken(files[0].path, says)
