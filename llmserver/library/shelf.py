"""Tell what a models folder holds: whole models, split ones with the parts they lack, damaged ones. Changes nothing."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from llmserver.errors import ModelFileBroken, ModelFileMissing
from llmserver.library import split
from llmserver.library.pull import DEFAULT_LINK
from llmserver.library.verify import models_in
from llmserver.offload.gguf import read
from llmserver.offload.shape import Shape, shape_of

_MOST_FAULT = 90  # characters of a row


@dataclass(frozen=True)
class Held:
    """One model of the folder, of a split one all parts."""

    path: Path
    """Where it lies, or its first part."""
    n_bytes: int
    is_default: bool
    shape: Shape | None = None
    """None for what cannot be read or is no model by itself, as an adapter."""
    license: str = ""
    fault: str = ""
    """Why it cannot be served, in a few words."""

    @property
    def name(self) -> str:
        """What `models use` and `models rm` call it; the whole path of a file outside the folder."""
        return self.path.name


def look(folder: Path) -> tuple[Held, ...]:
    """Return the models of a folder by name. A link is the model it leads to, and no model of its own."""
    link = folder / DEFAULT_LINK
    default = Path(os.path.realpath(link)) if link.exists() or link.is_symlink() else None
    if not folder.is_dir():
        return ()
    paths = [path for path in models_in(folder) if not path.is_dir()]
    if link.is_symlink() and any(Path(os.path.realpath(path)) == default for path in paths if path != link):
        paths = [path for path in paths if path != link]  # another link leads out of the folder to the same file
    return tuple(sorted((_held(path, default) for path in paths), key=lambda held: held.path.name))


def _held(path: Path, default: Path | None) -> Held:
    real = Path(os.path.realpath(path))
    parts = [path.with_name(name) for name in split.parts(path.name)]
    there = [part for part in parts if part.is_file()]
    n_bytes = sum(part.stat().st_size for part in there)
    is_default = default is not None and default in (real, *(Path(os.path.realpath(part)) for part in parts))
    named = real if path.name == DEFAULT_LINK and path.is_symlink() and there else path
    if len(there) < len(parts):
        return Held(named, n_bytes, is_default, fault=_missing(path, parts, there))
    try:
        found = read(path)
    except (ModelFileBroken, ModelFileMissing) as why:
        return Held(named, n_bytes, is_default, fault=f"damaged: {_brief(why.message, path)}")
    except OSError as why:
        return Held(named, n_bytes, is_default, fault=f"cannot be read: {why.strerror or why}")
    shape = shape_of(found)
    said = found.metadata.get("general.license")
    has_blocks = bool(shape.layers) and all(layer.weights for layer in shape.layers)  # not only in a number
    is_model = has_blocks and found.metadata.get("general.type", "model") == "model"
    return Held(
        named,
        n_bytes,
        is_default,
        shape=shape if is_model else None,
        license="".join(c for c in said if c.isprintable())[:20] if isinstance(said, str) else "",
    )


def _missing(path: Path, parts: list[Path], there: list[Path]) -> str:
    if len(parts) == 1:
        return f"leads to {os.path.realpath(path)}, which is not there"
    lacking = [part.name for part in parts if part not in there]
    more = f" and {len(lacking) - 1} more" if len(lacking) > 1 else ""
    return f"{len(there)} of {len(parts)} parts: {lacking[0]} is missing{more}"


def _brief(message: str, path: Path) -> str:
    """The reason without the file's name, which the row has, and without the advice, which is the same for all."""
    reason = message.removeprefix(f"{path} ").removeprefix(f"{os.path.realpath(path)} ").split("; get it again", 1)[0]
    return reason if len(reason) <= _MOST_FAULT else f"{reason[:_MOST_FAULT]}..."
