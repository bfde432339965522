"""Make a sound tree of the messages that a file holds, whatever their parents say. No recursion, time linear in nodes.

A message whose parent is missing or one of its own descendants begins a branch of its own; nodes that nobody is shown
are taken out from between the others; an answer that came in several pieces can become one.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace

from chatbot.core.store_rows import NewMessage
from chatbot.core.transfer.values import Damaged, Node


@dataclass(frozen=True)
class Tree:
    """Messages, parents before children; leaf_key ends the branch that is shown, None when none is; what was mended."""

    messages: tuple[NewMessage, ...]
    leaf_key: str | None
    n_misplaced: int = 0
    n_repeated: int = 0

    def notices(self) -> tuple[str, ...]:
        """What a person should know of the mending."""
        told = []
        if self.n_misplaced:
            told.append(f"messages that had lost their place begin branches of their own: {self.n_misplaced:,}")
        if self.n_repeated:
            told.append(f"messages left out that had the id of another one: {self.n_repeated:,}")
        return tuple(told)


def build(
    nodes: Sequence[Node], leaf: str | None, began_at: float, *, joins: bool = False, shows_none: bool = False
) -> Tree:
    """The tree of these nodes, in the file's order as far as parents allow. Raises Damaged when there is no message.

    leaf is the node that ends the shown branch, else it is the newest, but with shows_none there is none; with joins an
    answer in several nodes becomes one message.
    """
    by_key: dict[str, Node] = {}
    for node in nodes:
        by_key.setdefault(node.key, node)
    ordered, n_misplaced = _parents_first(by_key)
    messages, holder = _messages(_with_times(ordered, began_at), joins)
    if not messages:
        raise Damaged("it has no messages")
    newest = max(enumerate(messages), key=lambda placed: (placed[1].created_at, placed[0]))[1]
    end = None if shows_none else (holder.get(leaf) if leaf else None) or newest.key
    return Tree(tuple(messages), end, n_misplaced, len(nodes) - len(by_key))


def by_time(nodes: Iterable[Node]) -> list[Node]:
    """The nodes, oldest first where all have a time: other programs do not promise an order of their messages."""
    given = list(nodes)
    if any(node.created_at is None for node in given if node.role):
        return given
    return sorted(given, key=lambda node: node.created_at or 0.0)


def _parents_first(by_key: dict[str, Node]) -> tuple[list[Node], int]:
    """The nodes with parents that come before them, and how many had to begin anew."""
    ordered: dict[str, Node] = {}
    n_misplaced = 0
    for key in by_key:
        path: dict[str, None] = {}
        at: str | None = key
        while at is not None and at in by_key and at not in ordered and at not in path:
            path[at] = None
            at = by_key[at].parent
        if at is not None and at not in ordered:  # it leads nowhere, or back into the path
            n_misplaced += 1
        for step in reversed(path):
            parent = by_key[step].parent
            ordered[step] = replace(by_key[step], parent=parent if parent in ordered else None)
    return list(ordered.values()), n_misplaced


def _with_times(ordered: Sequence[Node], began_at: float) -> list[Node]:
    """A node without a time gets its parent's."""
    times: dict[str | None, float] = {None: began_at}
    found = []
    for node in ordered:
        times[node.key] = times[node.parent] if node.created_at is None else node.created_at
        found.append(replace(node, created_at=times[node.key]))
    return found


def _messages(ordered: Sequence[Node], joins: bool) -> tuple[list[NewMessage], dict[str, str | None]]:
    """The messages, and for each node the one that holds its words or, for a node without, its nearest ancestor's."""
    above = _nearest_shown(ordered)
    n_children = Counter(above[node.key] for node in ordered if node.role)
    made: dict[str, NewMessage] = {}
    holder: dict[str, str | None] = {}
    for node in ordered:
        piece = above[node.key]
        parent = holder[piece] if piece else None
        before = made[parent] if parent else None
        if not node.role:
            holder[node.key] = parent
        elif joins and before and before.role == node.role == "assistant" and n_children[piece] == 1:
            made[before.key] = _join(before, node)
            holder[node.key] = before.key
        else:
            made[node.key] = _message(node, parent)
            holder[node.key] = node.key
    return list(made.values()), holder


def _nearest_shown(ordered: Sequence[Node]) -> dict[str, str | None]:
    """For each node the nearest one above it that is shown."""
    found: dict[str, str | None] = {}
    is_shown = {node.key for node in ordered if node.role}
    for node in ordered:
        found[node.key] = node.parent if node.parent in is_shown else found.get(node.parent or "")
    return found


def _message(node: Node, parent: str | None) -> NewMessage:
    return NewMessage(
        key=node.key,
        parent_key=parent,
        role=node.role,
        content=node.content,
        created_at=node.created_at or 0.0,
        reasoning=node.reasoning,
        meta=dict(node.meta),
        status=node.status,
        files=node.files,
    )


def _join(before: NewMessage, node: Node) -> NewMessage:
    return replace(
        before,
        content="\n\n".join(filter(None, (before.content, node.content))),
        reasoning="\n\n".join(filter(None, (before.reasoning, node.reasoning))),
        meta={**before.meta, **node.meta},
        status=node.status,
        files=before.files + node.files,
    )
