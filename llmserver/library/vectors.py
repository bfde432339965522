"""Compare what llama.cpp makes of a fresh embedding model with stored vectors of the model it was made from.

NAME.json holds texts and their vectors (float16, base64), computed from the float32 weights without llama.cpp.
"""

from __future__ import annotations

import base64
import json
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from llmserver.errors import DownloadError
from llmserver.library.child import listen

LEAST_COSINE = 0.99
_FOLDER = Path(__file__).resolve().parent
_PACKAGE_ROOT = _FOLDER.parents[1]
Array = np.ndarray[Any, Any]


def check(path: Path, name: str, folder: Path | None = None) -> float:
    """Return the smallest cosine between made and stored vectors. Raises DownloadError when the model is not itself."""
    rows = json.loads(((folder or _FOLDER) / f"{name}.json").read_text(encoding="utf-8"))
    wanted = [np.frombuffer(base64.b64decode(row["vector"]), "<f2").astype(np.float32) for row in rows]
    made = _embed(path, [row["text"] for row in rows])
    if len(made) != len(wanted) or any(one.shape != other.shape for one, other in zip(made, wanted, strict=True)):
        raise DownloadError(f"llama.cpp cannot compute with the file that was made of {name}: please report it")
    least = min(cosine(one, other) for one, other in zip(made, wanted, strict=True))
    if not least >= LEAST_COSINE:  # also for what is no number
        raise DownloadError(
            f"the file that was made of {name} gives other vectors (cosine {least:.3f}, at least {LEAST_COSINE} is "
            "right) and was deleted: run it again, and report it if it stays so"
        )
    return least


def cosine(one: Array, other: Array) -> float:
    """How alike two vectors are, 1 for the same direction; 0 where one has none."""
    sizes = float(np.linalg.norm(one) * np.linalg.norm(other))
    return float(one @ other) / sizes if sizes else 0.0


def _embed(path: Path, texts: Sequence[str]) -> list[Array]:
    """The vector of each text, fewer when llama.cpp fails midway."""
    found: list[Array] = []

    def hear(line: str) -> None:
        if line.startswith("["):
            found.append(np.array(json.loads(line), np.float32))

    words = [sys.executable, "-m", "llmserver.library.vectors_child", str(path), json.dumps(texts)]
    places = os.pathsep.join(filter(None, [str(_PACKAGE_ROOT), os.environ.get("PYTHONPATH")]))
    listen(words, os.environ | {"PYTHONPATH": places, "GGML_NO_BACKTRACE": "1"}, hear)
    return found
