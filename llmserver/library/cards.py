"""How quickly a graphics card reads its memory, by its name, else as is usual for its size. Asks no card."""

from __future__ import annotations

_GIB = 1024**3

# GB/s of the makers' data sheets. A name that is longer and fits as well counts before a shorter one.
_BY_NAME = {
    **{"gtx 1050": 112, "gtx 1050 ti": 112, "gtx 1060": 192, "gtx 1070": 256, "gtx 1070 ti": 256, "gtx 1080": 320},
    **{"gtx 1080 ti": 484, "gtx 1650": 128, "gtx 1650 super": 192, "gtx 1660": 192, "gtx 1660 super": 336},
    **{"gtx 1660 ti": 288, "rtx 2060": 336, "rtx 2060 super": 448, "rtx 2070": 448, "rtx 2070 super": 448},
    **{"rtx 2080": 448, "rtx 2080 super": 496, "rtx 2080 ti": 616, "rtx 3050": 224, "rtx 3060": 360},
    **{"rtx 3060 laptop": 336, "rtx 3060 ti": 448, "rtx 3070": 448, "rtx 3070 ti": 608, "rtx 3080": 760},
    **{"rtx 3080 laptop": 448, "rtx 3080 ti": 912, "rtx 3090": 936, "rtx 3090 ti": 1008, "rtx 4060": 272},
    **{"rtx 4060 laptop": 256, "rtx 4060 ti": 288, "rtx 4070": 504, "rtx 4070 laptop": 256, "rtx 4070 super": 504},
    **{"rtx 4070 ti": 504, "rtx 4070 ti super": 672, "rtx 4080": 717, "rtx 4080 laptop": 432, "rtx 4080 super": 736},
    **{"rtx 4090": 1008, "rtx 4090 laptop": 576, "rtx 5060": 448, "rtx 5060 ti": 448, "rtx 5070": 672},
    **{"rtx 5070 ti": 896, "rtx 5080": 960, "rtx 5090": 1792, "rtx a4000": 448, "rtx a5000": 768, "rtx a6000": 768},
    **{"tesla t4": 320, "tesla p40": 347, "a10": 600, "l4": 300, "l40s": 864, "a100": 2039, "h100": 3350, "h200": 4800},
    **{"rx 6600": 224, "rx 6600 xt": 256, "rx 6700 xt": 384, "rx 6800": 512, "rx 6800 xt": 512, "rx 6900 xt": 512},
    **{"rx 7600": 288, "rx 7700 xt": 432, "rx 7800 xt": 624, "rx 7900 xt": 800, "rx 7900 xtx": 960},
    **{"rx 9060 xt": 320, "rx 9070": 640, "rx 9070 xt": 640, "a750": 512, "a770": 560, "b570": 380, "b580": 456},
    **{"apple m1": 68, "apple m1 pro": 200, "apple m1 max": 400, "apple m1 ultra": 800, "apple m2": 100},
    **{"apple m2 pro": 200, "apple m2 max": 400, "apple m2 ultra": 800, "apple m3": 100, "apple m3 pro": 150},
    **{"apple m3 max": 400, "apple m3 ultra": 819, "apple m4": 120, "apple m4 pro": 273, "apple m4 max": 546},
}
# What most cards of at least this size read, GB/s.
_BY_SIZE = ((20 * _GIB, 900.0), (14 * _GIB, 450.0), (10 * _GIB, 360.0), (7 * _GIB, 256.0), (5 * _GIB, 192.0))
_LEAST = 112.0


def bandwidth_gbs(description: str, total_bytes: int) -> tuple[float, bool]:
    """Return GB/s of a card, and whether its name was known."""
    words = f" {' '.join(description.replace('-', ' ').lower().split())} "
    known = [name for name in _BY_NAME if f" {name} " in words]
    if known:
        return float(_BY_NAME[max(known, key=len)]), True
    return next((gbs for least, gbs in _BY_SIZE if total_bytes >= least), _LEAST), False
