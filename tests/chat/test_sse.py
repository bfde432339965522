"""Events out of a stream of bytes, however it is cut and whatever is in it."""

from __future__ import annotations

import tracemalloc
from collections.abc import Iterator

import pytest

from chatbot.core.sse import NotAStream, events

STREAM = (
    "\ufeffdata: first\r\n\r\n: a comment\n\nevent: x\nid: 3\nretry: 1\ndata:second\ndata:  part\n\n"
    "data\n\ndata: 你好 👋\r\rname: value\n\ndata: [DONE]\n\ndata: cut off"
).encode()
EXPECTED = ["first", "second\n part", "", "你好 👋", "[DONE]"]


@pytest.mark.parametrize("step", [1, 2, 3, 7, 1000])
def test_events_are_the_same_wherever_the_bytes_are_cut(step: int) -> None:
    assert list(events(STREAM[n : n + step] for n in range(0, len(STREAM), step))) == EXPECTED


def test_an_event_is_given_as_soon_as_its_empty_line_is_there() -> None:
    asked = []

    def chunks() -> Iterator[bytes]:
        for each in (b"data: a\r\n", b"\r", b"\ndata: b\n\n"):
            asked.append(each)
            yield each

    found = events(chunks())
    assert (next(found), len(asked)) == ("a", 2)
    assert list(found) == ["b"]


def test_bytes_that_are_no_text_do_not_end_the_stream() -> None:
    assert list(events([b"data: caf\xe9 \xff\n\nda\x00ta: x\n\n\xff\xfe\n\ndata: y\n\n"])) == ["caf\ufffd \ufffd", "y"]


@pytest.mark.parametrize("endless", [b"data: xxxxxxxxx", b": xxxxxxxxxxxxxx", b"data: xxxxxxxx\n"])
def test_a_line_or_an_event_without_an_end_is_refused_before_it_fills_the_memory(endless: bytes) -> None:
    def forever() -> Iterator[bytes]:
        while True:
            yield endless * 100

    tracemalloc.start()
    with pytest.raises(NotAStream, match="more than 200,000 bytes"):
        list(events(forever(), 200_000))
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 5_000_000


def test_nothing_comes_of_nothing() -> None:
    assert list(events([])) == list(events([b"", b"\n\n\n", b""])) == []
