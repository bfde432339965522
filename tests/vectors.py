"""Vectors of words, as the scripted model server makes them."""

from __future__ import annotations

import base64
import hashlib
import math
from array import array

from rag.stop import STOP, WORD

N_DIMS = 384


def vector_of(text: str) -> list[float]:
    """Of length one; texts with the same telling words are near each other, those of the first line count double."""
    made = [1e-3] * N_DIMS
    for part in (text, text.strip().partition("\n")[0]):
        for word in {word.lower().removesuffix("s") for word in WORD.findall(part) if word.lower() not in STOP}:
            made[int(hashlib.sha256(word.encode()).hexdigest(), 16) % N_DIMS] += 1
    length = math.hypot(*made)
    return [each / length for each in made]


def packed(vector: list[float]) -> str:
    """As they are sent where base64 is asked for."""
    return base64.b64encode(array("f", vector).tobytes()).decode()
