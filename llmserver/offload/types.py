"""What a GGUF file can hold: the types of its tensors and of its metadata, with their sizes. Reads nothing."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True)
class GgmlType:
    """How a tensor type packs its elements: always `block` of them in `n_bytes`."""

    name: str
    block: int
    n_bytes: int


# By the id that a file holds (ggml.h, enum ggml_type). The ids left out were removed from ggml.
TYPES: Mapping[int, GgmlType] = {
    0: GgmlType("f32", 1, 4),
    1: GgmlType("f16", 1, 2),
    2: GgmlType("q4_0", 32, 18),
    3: GgmlType("q4_1", 32, 20),
    6: GgmlType("q5_0", 32, 22),
    7: GgmlType("q5_1", 32, 24),
    8: GgmlType("q8_0", 32, 34),
    9: GgmlType("q8_1", 32, 36),
    10: GgmlType("q2_K", 256, 84),
    11: GgmlType("q3_K", 256, 110),
    12: GgmlType("q4_K", 256, 144),
    13: GgmlType("q5_K", 256, 176),
    14: GgmlType("q6_K", 256, 210),
    15: GgmlType("q8_K", 256, 292),
    16: GgmlType("iq2_xxs", 256, 66),
    17: GgmlType("iq2_xs", 256, 74),
    18: GgmlType("iq3_xxs", 256, 98),
    19: GgmlType("iq1_s", 256, 50),
    20: GgmlType("iq4_nl", 32, 18),
    21: GgmlType("iq3_s", 256, 110),
    22: GgmlType("iq2_s", 256, 82),
    23: GgmlType("iq4_xs", 256, 136),
    24: GgmlType("i8", 1, 1),
    25: GgmlType("i16", 1, 2),
    26: GgmlType("i32", 1, 4),
    27: GgmlType("i64", 1, 8),
    28: GgmlType("f64", 1, 8),
    29: GgmlType("iq1_m", 256, 56),
    30: GgmlType("bf16", 1, 2),
    34: GgmlType("tq1_0", 256, 54),
    35: GgmlType("tq2_0", 256, 66),
    39: GgmlType("mxfp4", 32, 17),
    40: GgmlType("nvfp4", 64, 36),
    41: GgmlType("q1_0", 128, 18),
    42: GgmlType("q2_0", 64, 18),
}

# The kinds of metadata values by their id (gguf.h, enum gguf_type).
KINDS: Mapping[int, str] = {
    0: "uint8",
    1: "int8",
    2: "uint16",
    3: "int16",
    4: "uint32",
    5: "int32",
    6: "float32",
    7: "bool",
    8: "string",
    9: "array",
    10: "uint64",
    11: "int64",
    12: "float64",
}

# The kinds of one fixed size, as the struct module lays them out.
LAYOUTS: Mapping[str, struct.Struct] = {
    "uint8": struct.Struct("<B"),
    "int8": struct.Struct("<b"),
    "uint16": struct.Struct("<H"),
    "int16": struct.Struct("<h"),
    "uint32": struct.Struct("<I"),
    "int32": struct.Struct("<i"),
    "float32": struct.Struct("<f"),
    "bool": struct.Struct("<?"),
    "uint64": struct.Struct("<Q"),
    "int64": struct.Struct("<q"),
    "float64": struct.Struct("<d"),
}
