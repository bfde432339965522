"""How an answer is cut into blocks and painted, and what a long paste becomes."""

from __future__ import annotations

import io
import random

import pytest

from chatbot.terminal.blocks import Block, Blocks
from chatbot.terminal.listing import hanging
from chatbot.terminal.paint import Painter, clean, n_cells, without_style
from chatbot.terminal.prompt import Pastes
from chatbot.terminal.style import Stylist

ANSWER = """# Title

A paragraph with *emphasis* and `code`,
over two lines.

- one
- two
  more of two

  ```sh
  echo nested
  ```
- three

1. first
2. second

| a | b |
|---|---|
| 1 | 2 |

```python
def f() -> None:
    '''over
    lines'''
```

> a quote

The end.
"""


def lines_of(blocks: list[Block], columns: int = 60) -> list[str]:
    stylist = Stylist(lambda: columns)
    return [without_style(line) for block in blocks for line in stylist.block(block)]


def whole(text: str) -> list[Block]:
    blocks = Blocks()
    return [*blocks.feed(text), *blocks.end()]


@pytest.mark.parametrize("seed", range(5))
def test_however_the_text_comes_the_same_is_shown(seed: int) -> None:
    chance, blocks, left = random.Random(seed), Blocks(), ANSWER  # noqa: S311 - a test that can be repeated
    got: list[Block] = []
    while left:
        n_chars = chance.choice([1, 1, 2, 5, 40])
        got += blocks.feed(left[:n_chars])
        blocks.tail()
        left = left[n_chars:]
    assert lines_of([*got, *blocks.end()]) == lines_of(whole(ANSWER))


def test_each_part_of_an_answer_is_seen() -> None:
    shown = "\n".join(lines_of(whole(ANSWER)))
    for part in ("Title", "emphasis and code", "• one", "echo nested", "1 first", "a quote", "  def f()", "The end."):
        assert part in shown
    for mark in ("```", "**", "# Title", "|---"):
        assert mark not in shown


def test_a_block_is_finished_as_soon_as_the_next_begins_and_code_line_by_line() -> None:
    blocks = Blocks()
    assert blocks.feed("one\n\ntwo") == [] or blocks.feed("") == []
    assert [b.text.strip() for b in blocks.feed(" and more\n")] == ["one"]
    assert [b.text.strip() for b in blocks.feed("\n```py\nx = 1\ny")] == ["two and more", "x = 1"]
    tail = blocks.tail()
    assert tail is not None and (tail.kind, tail.text, tail.language) == ("code", "y", "py")


def test_the_tail_stays_short_in_a_long_list_and_in_long_code() -> None:
    for text in ("".join(f"- item {n} with words\n" for n in range(500)), "```\n" + "x = 1\n" * 2_000):
        blocks = Blocks()
        blocks.feed(text)
        tail = blocks.tail()
        assert tail is None or len(tail.text) < 100


def test_a_fence_in_a_fence_and_one_that_never_closes() -> None:
    shown = lines_of(whole("````md\n```\ninner\n```\n````\nafter"))
    assert [line.strip() for line in shown if line] == ["```", "inner", "```", "after"]
    assert [line.strip() for line in lines_of(whole("```\nnever closed"))] == ["never closed"]


LONG = f'x = "{" ".join(f"word{n}" for n in range(40))}" # END'


def shown_of(text: str, n_chars: int) -> list[str]:
    """The lines that are seen of a text that comes in pieces of so many characters."""
    blocks = Blocks()
    pieces = [text[n : n + n_chars] for n in range(0, len(text), n_chars)]
    got = [block for piece in pieces for block in blocks.feed(piece)]
    return lines_of([*got, *blocks.end()])


@pytest.mark.parametrize("n_chars", [5, 10_000])
@pytest.mark.parametrize(
    "text",
    [
        f"Look:\n\n```python\n{LONG}\n```\n\nand then:\n\n~~~\n{LONG}\n~~~\n\nThe end.\n",
        f"1. Run:\n\n   ```sh\n   {LONG}\n   ```\n",
        f"> ```\n> {LONG}\n> ```\n",
        f"Indented:\n\n    {LONG}\n\nThe end.\n",
    ],
)
def test_long_lines_of_code_are_shown_whole_wherever_the_code_stands(text: str, n_chars: int) -> None:
    shown = " ".join(" ".join(shown_of(text, n_chars)).replace("▌", "").split())
    assert shown.count(LONG) == text.count(LONG)


def test_code_that_comes_all_at_once_is_cut_as_if_it_came_line_by_line() -> None:
    code = [b for b in whole(f"a\n\n```python\n{LONG}\n\n  y\n```\nb\n\n~~~js extra\n~~~\nc\n") if b.kind == "code"]
    assert code == [Block("code", f"{LONG}\n\n  y", is_spaced=True, language="python", starts=True)]
    assert lines_of(code)[1] == f"  {LONG}"


@pytest.mark.parametrize("n_chars", [3, 10_000])
def test_marks_that_stand_further_in_do_not_end_the_code(n_chars: int) -> None:
    shown = shown_of("```python\ndef f():\n    ```\n    inner\n    ```\n```\nafter\n", n_chars)
    assert [line.strip() for line in shown if line] == ["def f():", "```", "inner", "```", "after"]


def test_control_characters_of_a_model_do_not_reach_the_terminal() -> None:
    assert clean("a\x1b[2J\x07b\x9b1mc\r\n\td") == "a[2Jb1mc\n\td"


def test_no_line_is_wider_than_the_terminal_but_code_that_is() -> None:
    for columns in (20, 33, 80):
        blocks = [b for b in whole(ANSWER + "\n" + "long words " * 50 + "\n\n" + "日本語" * 40) if b.kind == "prose"]
        assert max(map(n_cells, lines_of(blocks, columns))) < columns


def test_the_painter_replaces_the_tail_alone_and_shows_the_end_of_a_high_one() -> None:
    out = io.StringIO()
    painter = Painter(out, lambda: (10, 4))
    painter.put(["stays"], ["t1", "t2"])
    painter.put([], ["t1", "t3"])
    painter.put(["done"], [str(n) for n in range(9)])
    painter.put([], [])
    assert out.getvalue() == "stays\nt1\nt2\r\x1b[1A\x1b[Jt1\nt3\r\x1b[1A\x1b[Jdone\n6\n7\n8\r\x1b[2A\x1b[J"


def test_the_painter_goes_up_by_the_rows_that_a_narrower_terminal_made_of_the_tail() -> None:
    out, columns = io.StringIO(), [20]
    painter = Painter(out, lambda: (columns[0], 10))
    painter.put([], ["a" * 15])
    columns[0] = 10
    painter.put([], ["b"])
    assert out.getvalue().endswith("\r\x1b[1A\x1b[Jb")


def test_a_long_paste_stands_in_the_line_as_a_few_words_and_is_sent_whole() -> None:
    pastes, text = Pastes(), "line\n" * 10_000
    short = pastes.short(text)
    assert short == "[pasted 1: 10,001 lines]"
    assert pastes.short("a few\nlines") == "a few\nlines"
    assert pastes.whole(f"see {short} and {pastes.short('x' * 5_000)}") == f"see {text} and {'x' * 5_000}"


def test_a_list_of_two_columns_stays_one_in_a_narrow_terminal() -> None:
    assert hanging("/new         begin another\n/x", 24) == "/new         begin another\n/x"
    assert hanging("/new  begin another conversation now", 30).split("\n") == [
        "/new  begin another",
        "      conversation now",
    ]
