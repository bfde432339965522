"""The books of host RAM: never more bytes than allowed, least recently used first, what is waited for stays."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmserver.engine.hostcache import Blob, HostCache
from tests.server.engine_rig import search

LIMIT = 1000


def add(cache: HostCache, size: int) -> Blob:
    """A blob for which room was made."""
    for blob in cache.make_room(size) or ():
        cache.remove(blob)
    return cache.add(10, size, 0, partial=False)


def test_what_was_used_longest_ago_goes_first() -> None:
    cache = HostCache(LIMIT)
    first, second, third = (add(cache, 300) for _ in range(3))
    cache.touch(first)
    assert cache.make_room(300) == [second]
    assert cache.make_room(500) == [second, third]
    assert cache.make_room(100) == []


def test_what_is_larger_than_the_cache_is_not_made_room_for() -> None:
    cache = HostCache(LIMIT)
    add(cache, 300)
    assert cache.make_room(LIMIT + 1) is None
    assert len(cache) == 1
    assert HostCache(0).make_room(1) is None


def test_what_somebody_waits_for_stays() -> None:
    cache = HostCache(LIMIT)
    first, second = add(cache, 500), add(cache, 400)
    cache.pin(first, pinned=True)
    assert cache.make_room(400) == [second]
    assert cache.make_room(600) is None
    cache.pin(first, pinned=False)
    assert cache.make_room(600) == [first]


def test_what_is_about_to_be_loaded_stays_as_long_as_that_takes() -> None:
    cache = HostCache(LIMIT)
    first, second = add(cache, 500), add(cache, 400)
    with cache.holding(first, None):
        assert cache.is_kept(first)
        assert not cache.is_pinned(first)
        assert cache.make_room(300) == [second]
    assert cache.make_room(300) == [first]


def test_a_blob_that_turned_out_larger_counts_with_its_real_size() -> None:
    cache = HostCache(LIMIT)
    first = add(cache, 300)
    add(cache, 300)
    cache.resize(first.number, 900)
    assert cache.size_bytes == 1200
    assert cache.make_room(0) == [first]
    cache.resize(12345, 7)
    assert cache.size_bytes == 1200


class Books(RuleBasedStateMachine):
    """Blobs come, are used, kept and dropped, beside a list of sizes in order of use."""

    def __init__(self) -> None:
        super().__init__()
        self.cache = HostCache(LIMIT)
        self.sizes: dict[Blob, int] = {}
        self.pinned: set[Blob] = set()

    def _pick(self, which: int) -> Blob:
        return [*self.sizes][which % len(self.sizes)]

    @rule(size=st.integers(1, 700))
    def save(self, size: int) -> None:
        going = self.cache.make_room(size)
        free = [blob for blob in self.sizes if blob not in self.pinned]
        kept = sum(held for blob, held in self.sizes.items() if blob in self.pinned)
        if going is None:
            assert kept + size > LIMIT
            return
        assert going == free[: len(going)], "least recently used first"
        left = sum(self.sizes.values()) - sum(self.sizes[blob] for blob in going)
        assert left + size <= LIMIT
        assert not going or left + self.sizes[going[-1]] + size > LIMIT, "one more than needed"
        for blob in going:
            self.cache.remove(blob)
            del self.sizes[blob]
        self.sizes[self.cache.add(5, size, 0, partial=False)] = size

    @precondition(lambda self: self.sizes)
    @rule(which=st.integers(0, 99))
    def touch(self, which: int) -> None:
        blob = self._pick(which)
        self.cache.touch(blob)
        self.sizes[blob] = self.sizes.pop(blob)

    @precondition(lambda self: self.sizes)
    @rule(which=st.integers(0, 99), pinned=st.booleans())
    def pin(self, which: int, pinned: bool) -> None:
        blob = self._pick(which)
        self.cache.pin(blob, pinned=pinned)
        self.pinned = self.pinned | {blob} if pinned else self.pinned - {blob}

    @precondition(lambda self: self.sizes)
    @rule(which=st.integers(0, 99))
    def remove(self, which: int) -> None:
        blob = self._pick(which)
        self.cache.remove(blob)
        self.pinned.discard(blob)
        del self.sizes[blob]

    @invariant()
    def the_books_are_right(self) -> None:
        assert self.cache.size_bytes == sum(self.sizes.values()) <= LIMIT
        assert len(self.cache) == len(self.sizes)
        for blob in self.sizes:
            assert self.cache.find(blob.number) is blob
            assert self.cache.is_kept(blob) == self.cache.is_pinned(blob) == (blob in self.pinned)
        assert len({blob.number for blob in self.sizes}) == len(self.sizes)


TestBooks = Books.TestCase
TestBooks.settings = search(60, 50)
