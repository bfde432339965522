"""The radix tree answers as a plain dictionary of lists would, whatever is added, extended, cut and removed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmserver.engine.prefix import PrefixIndex, common, tokens_of
from tests.server.engine_rig import search

TEXT = st.lists(st.integers(1, 3), max_size=12)
SCOPE = st.sampled_from("ab")


def n_equal(one: list[int], other: list[int]) -> int:
    """How many tokens two texts begin with in common."""
    return next((i for i, (a, b) in enumerate(zip(one, other, strict=False)) if a != b), min(len(one), len(other)))


class Index(RuleBasedStateMachine):
    """Holders of texts in two scopes, beside a dictionary that holds the same."""

    def __init__(self) -> None:
        super().__init__()
        self.index: PrefixIndex[int] = PrefixIndex()
        self.texts: dict[int, tuple[str, list[int]]] = {}
        self.n_added = 0

    def _pick(self, which: int) -> int:
        return [*self.texts][which % len(self.texts)]

    @rule(scope=SCOPE, text=TEXT)
    def add(self, scope: str, text: list[int]) -> None:
        self.n_added += 1
        self.index.add(self.n_added, scope, tokens_of(text))
        self.texts[self.n_added] = (scope, text)

    @precondition(lambda self: self.texts)
    @rule(which=st.integers(0, 99), text=TEXT)
    def extend(self, which: int, text: list[int]) -> None:
        holder = self._pick(which)
        self.index.extend(holder, tokens_of(text))
        scope, before = self.texts[holder]
        self.texts[holder] = (scope, [*before, *text])

    @precondition(lambda self: self.texts)
    @rule(which=st.integers(0, 99), n=st.integers(0, 15))
    def truncate(self, which: int, n: int) -> None:
        holder = self._pick(which)
        self.index.truncate(holder, n)
        scope, before = self.texts[holder]
        self.texts[holder] = (scope, before[:n])

    @precondition(lambda self: self.texts)
    @rule(which=st.integers(0, 99))
    def remove(self, which: int) -> None:
        holder = self._pick(which)
        self.index.remove(holder)
        del self.texts[holder]

    @rule(scope=SCOPE, query=TEXT)
    def look(self, scope: str, query: list[int]) -> None:
        found = self.index.matches(scope, tokens_of(query))
        texts = {holder: n_equal(text, query) for holder, (own, text) in self.texts.items() if own == scope}
        assert found == {holder: n for holder, n in texts.items() if n}
        assert [*found.values()] == sorted(found.values()), "the best comes last"

    @invariant()
    def everybody_holds_their_text(self) -> None:
        for holder, (_, text) in self.texts.items():
            assert holder in self.index
            assert list(self.index.text(holder)) == text
            assert self.index.length(holder) == len(text)
        for scope in "ab":
            assert {*self.index.holders(scope)} == {h for h, (own, _) in self.texts.items() if own == scope}

    @invariant()
    def nothing_is_left_of_what_nobody_holds(self) -> None:
        nodes = [*self.index._roots.values()]
        while nodes:
            node = nodes.pop()
            assert node.holders, "a piece of text without a holder"
            nodes += node.children.values()
            assert all(child.parent is node and child.edge[0] == first for first, child in node.children.items())


TestIndex = Index.TestCase
TestIndex.settings = search(60, 50)


@search(200)
@given(st.lists(st.integers(0, 2), min_size=1, max_size=40), st.lists(st.integers(0, 2), min_size=1), st.data())
def test_common_counts_the_equal_tokens_from_an_index_on(a: list[int], b: list[int], data: st.DataObject) -> None:
    at = data.draw(st.integers(0, len(a)))
    most = data.draw(st.none() | st.integers(0, len(b)))
    assert common(tokens_of(a), at, tokens_of(b), most) == min(n_equal(a[at:], b), len(b) if most is None else most)


def test_common_finds_the_last_token_of_a_long_text_that_differs() -> None:
    a, b = tokens_of(range(1000)), tokens_of([*range(998), 0, 999])
    assert common(a, 0, b) == 998
    assert common(a, 0, a) == 1000


def test_two_holders_of_one_text_are_both_found() -> None:
    index: PrefixIndex[str] = PrefixIndex()
    index.add("first", None, tokens_of([1, 2, 3, 4]))
    index.add("second", None, tokens_of([1, 2, 3, 4]))
    assert index.matches(None, tokens_of([1, 2, 3])) == {"first": 3, "second": 3}
    index.remove("first")
    assert index.matches(None, tokens_of([1, 2, 3, 4, 5])) == {"second": 4}


def test_a_holder_is_added_once() -> None:
    index: PrefixIndex[str] = PrefixIndex()
    index.add("one", None, tokens_of([1]))
    with pytest.raises(ValueError, match="there already"):
        index.add("one", None, tokens_of([2]))


def test_extending_one_holder_leaves_the_tokens_given_in_unchanged() -> None:
    index: PrefixIndex[str] = PrefixIndex()
    given_in = tokens_of([1, 2, 3])
    index.add("one", None, given_in[:])
    index.extend("one", tokens_of([4]))
    taken = index.text("one")
    taken.append(99)
    assert list(index.text("one")) == [1, 2, 3, 4]


def test_an_empty_index_knows_nobody() -> None:
    index: PrefixIndex[str] = PrefixIndex()
    assert index.matches("any", tokens_of([1])) == {}
    assert index.holders("any") == ()
    assert "one" not in index
