"""Tell a model's reasoning from its answer where the server leaves both in one text. Pure.

Only tags at the very beginning count: later ones are part of what the answer says.
"""

from __future__ import annotations

from collections.abc import Iterator

from chatbot.core.events import Delta, Thought

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"))


class Splitter:
    """Takes a text piece by piece; gives each part out as soon as it cannot be half a tag."""

    def __init__(self, *, is_fresh: bool = True) -> None:
        """is_fresh: the text is a whole answer; the rest of one has no beginning where thoughts could stand."""
        self._held = ""
        self._close = ""
        self._place = self._at_start if is_fresh else self._answering

    def feed(self, text: str) -> Iterator[Delta | Thought]:
        """What is certain with this piece."""
        self._held += text
        yield from self._place()

    def end(self) -> Iterator[Delta | Thought]:
        """What was held back, when nothing follows; a thought that was never closed stays one."""
        held, self._held = self._held, ""
        if held and self._place != self._after:
            yield Thought(held) if self._place == self._thinking else Delta(held)

    def _at_start(self) -> Iterator[Delta | Thought]:
        begun = self._held.lstrip()
        for opened, closed in _TAGS:
            if begun.startswith(opened):
                self._held, self._close, self._place = begun[len(opened) :].lstrip("\n"), closed, self._thinking
                yield from self._thinking()
                return
        if any(opened.startswith(begun) for opened, _ in _TAGS):
            return
        self._place = self._answering
        yield from self._answering()

    def _thinking(self) -> Iterator[Delta | Thought]:
        thought, closed, rest = self._held.partition(self._close)
        if closed:
            self._held, self._place = rest, self._after
            if thought:
                yield Thought(thought)
            yield from self._after()
            return
        n_kept = _half_tag(thought, self._close)
        self._held = thought[len(thought) - n_kept :]
        if len(thought) > n_kept:
            yield Thought(thought[: len(thought) - n_kept])

    def _after(self) -> Iterator[Delta | Thought]:
        """Between the thoughts and the answer: empty lines belong to neither."""
        self._held = self._held.lstrip()
        if self._held:
            self._place = self._answering
            yield from self._answering()

    def _answering(self) -> Iterator[Delta | Thought]:
        held, self._held = self._held, ""
        if held:
            yield Delta(held)


def without(text: str) -> str:
    """A whole answer without the thoughts at its beginning; one that is nothing but thoughts is empty."""
    splitter = Splitter()
    parts = [*splitter.feed(text), *splitter.end()]
    return "".join(part.text for part in parts if isinstance(part, Delta))


def _half_tag(text: str, tag: str) -> int:
    """How many characters at the end of the text may be the beginning of the tag."""
    return next((n for n in range(min(len(tag) - 1, len(text)), 0, -1) if tag.startswith(text[-n:])), 0)
