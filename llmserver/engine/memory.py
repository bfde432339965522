"""Where computed text lives: in the sequences of the KV cache, or saved in host RAM.

Decides which sequence a request gets and what must move for it; the moves are carried out by a backend. Idle
sequences are kept until somebody needs their cells, then saved to host RAM, least recently used first.
"""

from __future__ import annotations

from array import array
from collections import Counter, OrderedDict
from collections.abc import Hashable, Iterable, Mapping
from dataclasses import dataclass

from llmserver.engine.cells import Cells
from llmserver.engine.hostcache import Blob, HostCache
from llmserver.engine.plan import Forget, Load, MemoryKind, Move, Save, Share, Traits, Trim
from llmserver.engine.prefix import PrefixIndex

Seq = int
_CLAIM_SLACK = 16  # an idle sequence that is at most so much longer is cut rather than copied
_WORTH_SAVING = 16
_FEW_CELLS = 256  # idle ones that are not worth moving


@dataclass(frozen=True)
class Source:
    """A place to take the first n tokens from: a sequence or a blob; mark: a partial save that must come on top."""

    n: int
    seq: Seq | None = None
    blob: Blob | None = None
    mark: Blob | None = None


class Memory:
    """Sequences, cells, and the host cache behind them."""

    def __init__(self, traits: Traits, cache_bytes: int) -> None:
        self.traits = traits
        self.cells = Cells(traits.n_cells)
        self.index: PrefixIndex[Seq | Blob] = PrefixIndex()
        self.host = HostCache(cache_bytes)
        self.floors: dict[Seq, int] = {}
        self._free = list(range(traits.n_seq - 1, -1, -1))
        self._idle: OrderedDict[Seq, Hashable] = OrderedDict()
        self._busy: dict[Seq, Hashable] = {}
        self._awaited: Counter[Blob] = Counter()
        self._moves: list[Move] = []

    @property
    def n_idle(self) -> int:
        """Sequences whose text nobody uses now."""
        return len(self._idle)

    def take_moves(self) -> tuple[Move, ...]:
        """The moves decided since the last call, in order."""
        moves, self._moves = tuple(self._moves), []
        return moves

    def best(self, scope: Hashable, text: array[int]) -> Source:
        """Where most of the text is; at least its last token is always left to compute."""
        limit = len(text) - 1
        matches = self.index.matches(scope, text)
        marks = [
            (h.n, h) for h, n in matches.items() if isinstance(h, Blob) and h.partial and n == h.n and h.n <= limit
        ]
        best = Source(0)
        for holder, n in matches.items():
            if isinstance(holder, Blob) and holder.partial:
                continue
            found = self._usable(holder, min(n, limit), marks)
            if found.n > best.n or (found.n == best.n and best.seq is None and found.seq is not None and found.n):
                best = found
        return best

    def _usable(self, holder: Seq | Blob, n: int, marks: list[tuple[int, Blob]]) -> Source:
        """How much of the holder's first n tokens can be gone on from."""
        seq, blob = (None, holder) if isinstance(holder, Blob) else (holder, None)
        if self._can_cut(holder, n):
            return Source(n, seq, blob)
        at, mark = max(((c, m) for c, m in marks if c <= n), default=(0, None), key=lambda pair: pair[0])
        return Source(at, seq, blob, mark) if mark else Source(0)

    def _can_cut(self, holder: Seq | Blob, n: int) -> bool:
        kind = self.traits.memory
        if kind is MemoryKind.PLAIN or n == self.index.length(holder):
            return True
        floor = holder.floor if isinstance(holder, Blob) else self.floors.get(holder, 0)
        return kind is MemoryKind.WINDOW and floor <= max(0, n - self.traits.n_window)

    def place(self, scope: Hashable, text: array[int], room: int, *, reuse: bool = True) -> tuple[Seq, int] | None:
        """Give a request a sequence and cells for `room` more tokens than it finds computed.

        room: cells beyond the text's own that it should have. Returns the sequence and how many of the text's
        tokens it holds; None when there is no place now.
        """
        source = self.best(scope, text) if reuse else Source(0)
        with self.host.holding(source.blob, source.mark):
            placed = self._from(source, scope, text, room)
        return self._from(Source(0), scope, text, room) if placed is None and source.n else placed

    def _from(self, source: Source, scope: Hashable, text: array[int], room: int) -> tuple[Seq, int] | None:
        wanted = len(text) + room
        held = self.cells.held(self._busy)
        if source.seq is not None and source.seq in self._idle:
            alone = self.index.length(source.seq) <= source.n + _CLAIM_SLACK
            if alone or not self._fits(wanted - source.n, held + self.cells.length(source.seq)) or not self._has_seq(2):
                return self._claim(source, wanted, scope)
        if not self._has_seq(1) and source.seq not in self._idle:
            return None
        new = wanted - source.n if source.seq is not None else max(wanted, source.blob.n if source.blob else 0)
        if not self._fits(new, held if source.seq is None else self.cells.held([*self._busy, source.seq])):
            return None
        return self._copy(source, scope, new)

    def _fits(self, new: int, held: int) -> bool:
        return new <= self.traits.n_cells - held

    def _has_seq(self, n: int) -> bool:
        return len(self._free) + len(self._idle) >= n

    def _claim(self, source: Source, wanted: int, scope: Hashable) -> tuple[Seq, int] | None:
        """Go on in an idle sequence itself."""
        seq = source.seq
        assert seq is not None  # noqa: S101 - the caller looked
        if not self._fits(wanted - source.n, self.cells.held([*self._busy, seq]) - self._tail(seq, source.n)):
            return None
        del self._idle[seq]
        self._busy[seq] = scope
        if source.mark:
            self._load_mark(source.mark, seq)
        self._trim(seq, source.n)
        self.make_room(wanted - source.n)
        return seq, source.n

    def _tail(self, seq: Seq, n: int) -> int:
        """Cells that cutting the sequence after n would surely free."""
        return max(0, min(self.cells.private(seq), self.cells.length(seq) - n))

    def _copy(self, source: Source, scope: Hashable, new: int) -> tuple[Seq, int]:
        """Go on in a sequence of one's own that begins like the source."""
        keep = source.seq
        if keep is not None and keep in self._idle:
            self._idle.move_to_end(keep)
        seq = self._take_seq(keep)
        self._busy[seq] = scope
        self.make_room(new, keep)
        if source.seq is not None:
            self._moves.append(Share(source.seq, seq, source.n))
            self.cells.share(source.seq, seq, source.n)
            self.index.add(seq, scope, self.index.text(source.seq)[: source.n])
            self.floors[seq] = self.floors.get(source.seq, 0)
        elif source.blob is not None:
            self._load(source.blob, seq, scope)
        else:
            self.index.add(seq, scope, array("i"))
            self.floors[seq] = 0
        if source.mark:
            self._load_mark(source.mark, seq)
        self._trim(seq, source.n)
        return seq, source.n

    def _load(self, blob: Blob, seq: Seq, scope: Hashable) -> None:
        self.host.touch(blob)
        self._moves.append(Load(blob.number, seq))
        self.cells.grow(seq, blob.n)
        self.index.add(seq, scope, self.index.text(blob))
        self.floors[seq] = blob.floor

    def _load_mark(self, mark: Blob, seq: Seq) -> None:
        self.host.touch(mark)
        self._moves.append(Load(mark.number, seq, partial=True))
        self.floors[seq] = mark.floor

    def _take_seq(self, keep: Seq | None) -> Seq:
        if not self._free:
            self.evict(keep)
        return self._free.pop()

    def _trim(self, seq: Seq, n: int) -> None:
        if n < self.index.length(seq):
            self._moves.append(Trim(seq, n))
            self.cells.trim(seq, n)
            self.index.truncate(seq, n)

    def make_room(self, n: int, keep: Seq | None = None) -> bool:
        """Have n free cells, by giving idle sequences up; whether it worked."""
        while self.cells.free < n:
            if not self.evict(keep):
                return False
        return True

    def tidy(self) -> None:
        """Move one idle sequence to host RAM when idle text outweighs what is in use: attention looks at all cells."""
        held = self.cells.held(self._busy)
        oldest = next(iter(self._idle), None)
        if oldest is None or self.cells.used - held <= max(_FEW_CELLS, held):
            return
        if self._bytes(self.index.length(oldest)) <= self.host.limit_bytes:  # else it would be lost
            self.evict()

    def evict(self, keep: Seq | None = None) -> bool:
        """Move the idle sequence that was used longest ago to host RAM; False when there is none."""
        for seq in self._idle:
            if seq != keep:
                self._save(seq, self._idle.pop(seq), is_awaited=False)
                self._empty(seq)
                return True
        return False

    def _save(self, seq: Seq, scope: Hashable, *, is_awaited: bool) -> Blob | None:
        """Copy a sequence to host RAM, unless its text is there or too large. Returns the blob that holds it.

        is_awaited: somebody will come back for it, so another sequence's copy is not enough: that one may go.
        """
        n = self.index.length(seq)
        if n < _WORTH_SAVING:
            return None
        text = self.index.text(seq)
        for holder, length in self.index.matches(scope, text).items():
            covers = length == n and holder != seq
            if covers and isinstance(holder, Blob) and not holder.partial and self._can_cut(holder, n):
                self.host.touch(holder)
                return holder
            if covers and not isinstance(holder, Blob) and not is_awaited and self._can_cut(holder, n):
                return None
        blob = self._new_blob(n, self._bytes(n), self.floors.get(seq, 0), partial=False)
        if blob is None:
            return None
        self._moves.append(Save(seq, blob.number))
        self.index.add(blob, scope, text)
        if self.traits.memory is MemoryKind.PLAIN:
            self._forget(
                old
                for old, length in self.index.matches(scope, text).items()
                if isinstance(old, Blob) and old != blob and length == old.n and not self.host.is_kept(old)
            )
        return blob

    def _bytes(self, n: int) -> int:
        """About what n saved tokens take."""
        return int(n * self.traits.bytes_per_token + self.traits.bytes_fixed)

    def _new_blob(self, n: int, size: int, floor: int, *, partial: bool) -> Blob | None:
        dropped = self.host.make_room(size)
        if dropped is None:
            return None
        self._forget(dropped)
        return self.host.add(n, size, floor, partial=partial)

    def _forget(self, blobs: Iterable[Blob]) -> None:
        for blob in list(blobs):
            self.host.remove(blob)
            self._moves.append(Forget(blob.number))
            self.index.remove(blob)

    def mark(self, seq: Seq, text: array[int]) -> None:
        """Save what cannot be cut back of a sequence that now ends with the text's end."""
        scope = self._busy[seq]
        matches = self.index.matches(scope, text)
        if any(isinstance(h, Blob) and h.partial and h.n == n == len(text) for h, n in matches.items()):
            return
        size = self._bytes(min(len(text), self.traits.n_window))  # of a state nothing but itself
        blob = self._new_blob(len(text), size, self.floors.get(seq, 0), partial=True)
        if blob is not None:
            self._moves.append(Save(seq, blob.number, partial=True))
            self.index.add(blob, scope, text[:])

    def catch_up(self, seq: Seq, text: array[int], done: int) -> None:
        """The sequence's cells now hold the text's first `done` tokens: make the new ones findable."""
        known = self.index.length(seq)
        if known < done:
            self.index.extend(seq, text[known:done])

    def release(self, seq: Seq) -> None:
        """Nobody uses the sequence now; its text stays until its cells are needed."""
        scope = self._busy.pop(seq)
        if self.index.length(seq):
            self._idle[seq] = scope
        else:
            self._empty(seq)

    def park(self, seq: Seq) -> Blob | None:
        """Take the sequence's cells from its user. Returns what keeps its text until `unpark`, if anything does."""
        blob = self._save(seq, self._busy.pop(seq), is_awaited=True)
        self._empty(seq)
        if blob is not None:
            self._awaited[blob] += 1
            self.host.pin(blob, pinned=True)
        return blob

    def unpark(self, blob: Blob | None) -> None:
        """Who waited for the blob has a sequence again, or has gone: with the last one it is an ordinary entry."""
        if blob is None:
            return
        self._awaited[blob] -= 1
        if self._awaited[blob] <= 0:
            del self._awaited[blob]
            self.host.pin(blob, pinned=False)

    def cut(self, seq: Seq, n: int) -> None:
        """Make sure that the sequence has n cells, whatever a failed batch left behind."""
        self._moves.append(Trim(seq, n))
        self.index.truncate(seq, n)

    def drop(self, seq: Seq) -> None:
        """The sequence's cells are not to be trusted: give it up, idle or not."""
        self._busy.pop(seq, None)
        self._idle.pop(seq, None)
        self._empty(seq)

    def forget_scope(self, scope: Hashable) -> None:
        """Nothing computed in this scope is to be found again; sequences in use are left alone."""
        for seq in [seq for seq, own in self._idle.items() if own == scope]:
            self.drop(seq)
        self._forget(h for h in self.index.holders(scope) if isinstance(h, Blob))

    def resize(self, sizes: Mapping[int, int]) -> None:
        """Blobs turned out to have these sizes in bytes; those used longest ago go if that is too much."""
        for number, size in sizes.items():
            self.host.resize(number, size)
        if self.host.size_bytes > self.host.limit_bytes:
            self._forget(self.host.make_room(0) or ())

    def lost(self, number: int) -> None:
        """A blob could not be saved or loaded: it is not there."""
        blob = self.host.find(number)
        if blob is not None:
            self._forget([blob])

    def _empty(self, seq: Seq) -> None:
        self._moves.append(Trim(seq, 0))
        self.cells.trim(seq, 0)
        self.index.remove(seq)
        self.floors.pop(seq, None)
        self._free.append(seq)
