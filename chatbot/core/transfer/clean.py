"""Single values out of a stranger's file: texts, times, names. Each is made harmless or left out, nothing raises."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping
from datetime import datetime, timezone
from typing import Any

from chatbot.core.options import DEPTHS

_LONE_SURROGATES = re.compile("[\ud800-\udfff]")
_LATEST_S = 7_258_118_400  # the year 2200
_FROM_HERE_MILLISECONDS = 100_000_000_000
_TITLE_CHARS = 200
_MAX_TAGS = 20
_TAG_CHARS = 40
_META_CHARS = 50_000
_META_KINDS: Mapping[str, type | tuple[type, ...]] = {
    "finish_reason": str,
    "error": dict,
    "usage": dict,
    "timings": dict,
    "notices": list,
    "thought_s": (int, float),
    "edited": bool,
    "model": str,
    "imported_from": str,
    "library": dict,
    "files": dict,
}
_MOST_SOURCES = 100
_MOST_MARKS = 2_000


def text(value: object) -> str:
    """A string that every database and page can hold; "" for anything else."""
    if not isinstance(value, str):
        return ""
    return _LONE_SURROGATES.sub("\ufffd", value.replace("\0", ""))


def line(value: object, most: int) -> str:
    """A text in one line of at most so many characters."""
    return " ".join(text(value)[: most * 4].split())[:most].strip()


def name(value: object) -> str:
    """A file's name, as it was but for line ends."""
    return re.sub(r"[\r\n]", " ", text(value))[:255] if text(value).strip() else "file"


def settings(value: object) -> dict[str, Any]:
    """A chat's options with texts that every database can hold; which of them are allowed is not known here."""
    return object_of(json.loads(json.dumps(object_of(value)), object_pairs_hook=_harmless))


def _harmless(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    """An object of JSON, with each text in it made harmless."""
    return {text(name): _texts(value) for name, value in pairs}


def _texts(value: Any) -> Any:
    if isinstance(value, list):
        return [_texts(each) for each in value]
    return text(value) if isinstance(value, str) else value


def title(value: object, first_message: str) -> str:
    """A chat's title; without one the beginning of its first message."""
    return line(value, _TITLE_CHARS) or line(first_message, 60) or "Imported chat"


def tags(value: object) -> tuple[str, ...]:
    """A chat's tags, each once."""
    given = value if isinstance(value, list) else []
    named = [line(tag.get("name") if isinstance(tag, dict) else tag, _TAG_CHARS) for tag in given[: _MAX_TAGS * 5]]
    return tuple(dict.fromkeys(filter(None, named)))[:_MAX_TAGS]


def seconds(value: object) -> float | None:
    """A time in seconds since 1970, from seconds, milliseconds, or an ISO date; None for what is no time."""
    if isinstance(value, str):
        return _from_iso(value)
    if isinstance(value, bool) or not isinstance(value, int | float):
        return None
    if isinstance(value, float) and not math.isfinite(value):
        return None
    in_s = value / 1000 if _FROM_HERE_MILLISECONDS <= value <= _LATEST_S * 1000 else value
    return float(in_s) if 0 < in_s <= _LATEST_S else None


def _from_iso(value: str) -> float | None:
    try:
        found = datetime.fromisoformat(value.strip()[:40].replace("Z", "+00:00"))
        return seconds((found if found.tzinfo else found.replace(tzinfo=timezone.utc)).timestamp())
    except (ValueError, OverflowError):
        return None


def key(value: object) -> str | None:
    """An id as a file names it; None when there is none."""
    if isinstance(value, bool) or not isinstance(value, str | int):
        return None
    try:
        return line(str(value), 200) or None
    except ValueError:  # a number of thousands of digits
        return None


def objects(value: object) -> list[dict[str, Any]]:
    """The objects in a list; nothing of anything else."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def object_of(value: object) -> dict[str, Any]:
    """An object, empty in place of anything else."""
    return value if isinstance(value, dict) else {}


def meta(value: object) -> dict[str, Any]:
    """What is kept of an answer besides its text: only names that are known, with values of the right kind."""
    found = object_of(value)
    kept = {name: found[name] for name, kind in _META_KINDS.items() if isinstance(found.get(name), kind)}
    if "error" in kept:
        kept["error"] = {name: text(kept["error"].get(name)) for name in ("message", "type", "code")}
    for name in ("usage", "timings"):
        if name in kept:
            kept[name] = {line(k, 60): v for k, v in kept[name].items() if v is None or seconds_or_count(v)}
    if "notices" in kept:
        kept["notices"] = [text(each) for each in kept["notices"] if isinstance(each, str)]
    for name in ("finish_reason", "model", "imported_from"):
        if name in kept:
            kept[name] = line(kept[name], 200)
    kept |= _read(kept)
    if kept.get("library") == {}:
        del kept["library"]
    if "thought_s" in kept and not seconds_or_count(kept["thought_s"]):
        del kept["thought_s"]
    return kept if len(json.dumps(kept)) <= _META_CHARS else {}


def _read(kept: Mapping[str, Any]) -> dict[str, Any]:
    """What an answer's meta tells of documents and files, cleaned."""
    made: dict[str, Any] = {}
    if "library" in kept:
        grounds = library(kept["library"])
        made["library"] = {**grounds, "sources": _unlinked(grounds)} if grounds else {}
    if "files" in kept:
        made["files"] = {name: _names(kept["files"].get(name)) for name in ("whole", "parts")}
    return made


def library(value: object) -> dict[str, Any]:
    """What an answer rests on, in the shape that a page shows; empty for what is none."""
    found = object_of(value)
    if not found:
        return {}
    depth, best = line(found.get("depth"), 20), found.get("best_score")
    return {
        "shelves": _names(found.get("shelves"), 80),
        "files": _names(found.get("files")),
        "depth": depth if depth in DEPTHS else DEPTHS[0],
        "refused": found.get("refused") is True,
        "whole": found.get("whole") is True,
        "best_score": best if seconds_or_count(best) else None,
        "steps": [_step(each) for each in objects(found.get("steps"))[:_MOST_SOURCES]],
        "sources": [_source(each) for each in objects(found.get("sources"))[:_MOST_SOURCES]],
        "marks": [_mark(each) for each in objects(found.get("marks"))[:_MOST_MARKS]],
        "n_dropped": count(found.get("n_dropped")),
    }


def _names(given: object, n_chars: int = 200) -> list[str]:
    """The names in a list; none of anything else."""
    return [line(each, n_chars) for each in given[:_MOST_SOURCES]] if isinstance(given, list) else []


def _mark(found: Mapping[str, Any]) -> dict[str, Any]:
    quote = line(found.get("quote"), 500)
    placed = {"at": count(found["at"])} if "at" in found else {}
    return {"n": count(found.get("n")), **placed, "confirmed": found.get("confirmed") is True, "quote": quote}


def _step(found: Mapping[str, Any]) -> dict[str, Any]:
    is_answered = found.get("is_answered")
    return {
        "question": line(found.get("question"), 700),
        "n_passages": count(found.get("n_passages")),
        "answer": text(found.get("answer"))[:5_000],
        "is_answered": is_answered if isinstance(is_answered, bool) else None,
    }


def _source(found: Mapping[str, Any]) -> dict[str, Any]:
    link, score, given = line(found.get("link"), 2_000), found.get("score"), found.get("headings")
    return {
        "n": count(found.get("n")),
        "document_id": count(found.get("document_id")),
        "shelf": line(found.get("shelf"), 80),
        "title": line(found.get("title"), 300),
        "uri": line(found.get("uri"), 2_000),
        "link": link if link.startswith(("http://", "https://")) else "",
        "headings": [line(each, 300) for each in given[:20]] if isinstance(given, list) else [],
        "page": count(found.get("page")) or None,
        "start": count(found.get("start")),
        "end": count(found.get("end")),
        "text": text(found.get("text"))[:2_000],
        "digest": line(found.get("digest"), 20),
        "score": score if seconds_or_count(score) else 0,
    }


def _unlinked(found: Mapping[str, Any]) -> list[dict[str, Any]]:
    """The sources without the numbers of their documents, which mean others in another library."""
    return [{**each, "document_id": 0} for each in found.get("sources", [])]


def count(value: object) -> int:
    """A whole number from 0; 0 for anything else."""
    return value if type(value) is int and 0 <= value <= 10**15 else 0


def seconds_or_count(value: object) -> bool:
    """Whether this is a plain number that a page can show."""
    if isinstance(value, bool) or not isinstance(value, int | float):
        return False
    return 0 <= value <= 1e15  # also false for NaN


def fenced(words: str, language: str = "") -> str:
    """A text as a block of code, by a fence that is longer than any in it."""
    fence = "`" * (max((len(found) for found in re.findall("`{3,}", words)), default=2) + 1)
    return f"{fence}{language}\n{words}\n{fence}"


def quoted(heading: str, words: str) -> str:
    """What a tool said, as a part of the answer; "" for nothing."""
    return f"**{heading}**\n\n{fenced(words)}" if words.strip() else ""


def left_out(name: object, what: str = "picture or other file") -> str:
    """What stands in place of something that is no text."""
    shown = line(name, 255)
    return f"[{shown}: a {what} that was not imported]" if shown else f"[a {what} that was not imported]"
