"""Bytes to text: characters and stop strings that tokens cut anywhere."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from llmserver.text.output import Output, held_suffix

few = st.text(alphabet="ab\u00e9\U0001f999", max_size=40)
stops = st.lists(st.text(alphabet="ab\u00e9\U0001f999", max_size=4), max_size=4)


def cut(data: bytes, places: list[int]) -> list[bytes]:
    edges = [0, *sorted(place % (len(data) + 1) for place in places), len(data)]
    return [data[a:b] for a, b in pairwise(edges)]


def run(output: Output, pieces: list[bytes]) -> str:
    return "".join(map(output.feed, pieces)) + output.finish()


def expected(text: str, stop_strings: list[str]) -> tuple[str, str | None]:
    """The definition, one character at a time: the first end at which a stop string is complete; then the longest."""
    for end in range(1, len(text) + 1):
        complete = [stop for stop in stop_strings if stop and text[:end].endswith(stop)]
        if complete:
            stop = max(complete, key=len)
            return text[: end - len(stop)], stop
    return text, None


@given(few, stops, st.lists(st.integers(0, 200), max_size=30))
def test_any_split_gives_the_text_before_the_first_complete_stop(
    text: str, stop_strings: list[str], places: list[int]
) -> None:
    output = Output(stop_strings)
    assert (run(output, cut(text.encode(), places)), output.stopped) == expected(text, stop_strings)


@given(st.binary(max_size=40), st.lists(st.integers(0, 200), max_size=30))
def test_invalid_bytes_become_the_same_replacement_characters_however_they_are_split(
    data: bytes, places: list[int]
) -> None:
    assert run(Output(), cut(data, places)) == data.decode("utf-8", "replace")
    assert run(Output(["never\n"]), cut(data, places)) == data.decode("utf-8", "replace")


def test_text_is_sent_at_once_unless_it_may_begin_a_stop() -> None:
    output = Output(["</end>"])
    assert [output.feed(piece) for piece in (b"one ", b"two <", b"/e", b"x")] == ["one ", "two ", "", "</ex"]


def test_a_stop_split_over_tokens_never_shows_and_ends_the_answer() -> None:
    output = Output(["User:", "\n\n"])
    assert [output.feed(piece) for piece in (b"hi\nUs", b"er", b": no")] == ["hi\n", "", ""]
    assert output.stopped == "User:"
    assert (output.feed(b"more"), output.finish()) == ("", "")


def test_emoji_and_cjk_split_over_tokens_arrive_whole() -> None:
    data = "\U0001f999\u6f22".encode()
    output = Output()
    assert [output.feed(data[i : i + 1]) for i in range(len(data))] == ["", "", "", "\U0001f999", "", "", "\u6f22"]


def test_an_unfinished_character_at_the_end_is_a_replacement_character() -> None:
    output = Output(["stop"])
    assert output.feed("ab\U0001f999".encode()[:-1]) == "ab"
    assert output.finish() == "\ufffd"


def test_what_was_held_for_a_stop_that_never_came_is_not_lost() -> None:
    output = Output(["</end>"])
    assert output.feed(b"a </en") == "a "
    assert output.finish() == "</en"
    assert output.finish() == ""


def test_held_suffix_is_the_longest_over_all_needles() -> None:
    assert held_suffix("xaab", ["ab!", "aabb", "b"]) == 3
    assert held_suffix("aaa", ["aab"]) == 2
    assert held_suffix("xyz", ["ab"]) == 0
