"""Find what has been computed already: a radix tree over token sequences, partial edges included.

Holders are whatever owns a computed text: a sequence in the KV cache, a saved state in host RAM. Scopes keep
texts apart that look alike and are not (another adapter). Pure: no llama.cpp, no clock.
"""

from __future__ import annotations

from array import array
from collections.abc import Hashable, Iterable
from typing import Generic, TypeVar

Holder = TypeVar("Holder", bound=Hashable)


def tokens_of(values: Iterable[int]) -> array[int]:
    """Token ids as a compact array, whose slices compare at the speed of memory."""
    return array("i", values)


def common(a: array[int], at: int, b: array[int], n: int | None = None) -> int:
    """How many tokens of a, from the index on, equal the beginning of b (at most n)."""
    limit = min(len(a) - at, len(b) if n is None else n)
    if limit <= 0 or a[at] != b[0]:
        return 0
    low, high = 1, limit
    if a[at : at + limit] == b[:limit]:
        return limit
    while low < high:  # the first `low` are equal
        middle = (low + high + 1) // 2
        if a[at + low : at + middle] == b[low:middle]:
            low = middle
        else:
            high = middle - 1
    return low


class _Node(Generic[Holder]):
    """A piece of text below its parent, and everyone whose text passes through it."""

    __slots__ = ("children", "edge", "holders", "parent")

    def __init__(self, edge: array[int], parent: _Node[Holder] | None, holders: set[Holder]) -> None:
        self.edge, self.parent, self.holders = edge, parent, holders
        self.children: dict[int, _Node[Holder]] = {}


class PrefixIndex(Generic[Holder]):
    """Holders by the text they hold."""

    def __init__(self) -> None:
        self._roots: dict[Hashable, _Node[Holder]] = {}
        self._ends: dict[Holder, _Node[Holder]] = {}
        self._lengths: dict[Holder, int] = {}
        self._scopes: dict[Holder, Hashable] = {}

    def __contains__(self, holder: Holder) -> bool:
        return holder in self._ends

    def length(self, holder: Holder) -> int:
        """Tokens that the holder holds."""
        return self._lengths[holder]

    def add(self, holder: Holder, scope: Hashable, tokens: array[int]) -> None:
        """The holder, unknown so far, holds these tokens."""
        if holder in self._ends:
            raise ValueError(f"{holder} is there already")
        root = self._roots.get(scope)
        if root is None:
            root = self._roots[scope] = _Node(array("i"), None, set())
        root.holders.add(holder)
        self._scopes[holder] = scope
        self._ends[holder], self._lengths[holder] = root, 0
        self.extend(holder, tokens)

    def extend(self, holder: Holder, tokens: array[int]) -> None:
        """The holder holds these tokens after the ones it has."""
        node, at = self._ends[holder], 0
        self._lengths[holder] += len(tokens)
        while at < len(tokens):
            child = node.children.get(tokens[at])
            if child is None:
                node = self._lengthen(node, holder, tokens[at:])
                break
            n = common(tokens, at, child.edge)
            if n < len(child.edge):
                child = self._split(child, n)
            child.holders.add(holder)
            node, at = child, at + n
        self._ends[holder] = node

    def remove(self, holder: Holder) -> None:
        """The holder holds nothing any more."""
        self._leave(holder, 0)
        root = self._ends.pop(holder)
        del self._lengths[holder]
        root.holders.discard(holder)
        scope = self._scopes.pop(holder)
        if not root.holders:
            del self._roots[scope]

    def truncate(self, holder: Holder, n: int) -> None:
        """The holder keeps its first n tokens."""
        if n < self._lengths[holder]:
            self._leave(holder, n)

    def text(self, holder: Holder) -> array[int]:
        """The tokens that the holder holds."""
        edges = []
        node: _Node[Holder] | None = self._ends[holder]
        while node is not None:
            edges.append(node.edge)
            node = node.parent
        out = array("i")
        for edge in reversed(edges):
            out.extend(edge)
        return out

    def holders(self, scope: Hashable) -> tuple[Holder, ...]:
        """Everyone in the scope."""
        root = self._roots.get(scope)
        return tuple(root.holders) if root else ()

    def matches(self, scope: Hashable, tokens: array[int]) -> dict[Holder, int]:
        """Every holder in the scope that begins like the tokens, with how many are equal; best last."""
        found: dict[Holder, int] = {}
        node, at = self._roots.get(scope), 0
        while node is not None and at < len(tokens):
            node = node.children.get(tokens[at])
            if node is None:
                break
            n = common(tokens, at, node.edge)
            at += n
            for holder in node.holders:
                found.pop(holder, None)
                found[holder] = at
            if n < len(node.edge):
                break
        return found

    def _lengthen(self, node: _Node[Holder], holder: Holder, tokens: array[int]) -> _Node[Holder]:
        """Put tokens under a node that has no child which begins like them."""
        if node.parent is not None and not node.children and node.holders == {holder}:
            node.edge.extend(tokens)
            return node
        child = _Node(tokens, node, {holder})
        node.children[tokens[0]] = child
        return child

    def _split(self, node: _Node[Holder], n: int) -> _Node[Holder]:
        """Divide a node after n tokens; its upper half. That one is new, so the ends of holders stay right."""
        parent = node.parent
        assert parent is not None  # noqa: S101 - a root has no edge to split
        upper = _Node(node.edge[:n], parent, set(node.holders))
        parent.children[upper.edge[0]] = upper
        node.edge, node.parent = node.edge[n:], upper
        upper.children[node.edge[0]] = node
        return upper

    def _leave(self, holder: Holder, n: int) -> None:
        """Take the holder out of everything after its first n tokens."""
        node, length = self._ends[holder], self._lengths[holder]
        while length > n:
            start = length - len(node.edge)
            if start < n:
                self._split(node, n - start)
                start = n
            node.holders.discard(holder)
            parent = node.parent
            assert parent is not None  # noqa: S101 - only a root has length 0
            if not node.holders:
                del parent.children[node.edge[0]]
            node, length = parent, start
        self._ends[holder], self._lengths[holder] = node, length
