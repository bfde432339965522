"""Which sequence a request gets, what goes to host RAM for it, and what stays there."""

from __future__ import annotations

from llmserver.engine.fake import fake_traits
from llmserver.engine.memory import Memory
from llmserver.engine.plan import Forget, Load, Save, Share, Trim
from llmserver.engine.prefix import tokens_of

SAVED = 40 * 4  # bytes of one conversation


def computed(memory: Memory, token: int, n: int = 40) -> int:
    """A sequence in use that holds so many times the token."""
    text = tokens_of([token] * n)
    placed = memory.place(None, text, 0)
    assert placed is not None
    memory.cells.grow(placed[0], n - placed[1])
    memory.catch_up(placed[0], text, n)
    return placed[0]


def idle(memory: Memory, token: int, n: int = 40) -> int:
    """The same, and nobody uses it any more."""
    seq = computed(memory, token, n)
    memory.release(seq)
    return seq


def found(memory: Memory, token: int) -> int:
    """How much of the conversation can be gone on from."""
    return memory.best(None, tokens_of([token] * 40 + [63])).n


def test_what_a_preempted_request_left_outlives_what_nobody_waits_for() -> None:
    memory = Memory(fake_traits(n_cells=200), SAVED)
    memory.park(computed(memory, 1))
    idle(memory, 2)
    memory.evict()
    assert (found(memory, 1), found(memory, 2)) == (40, 0)


def test_what_nobody_waits_for_any_more_goes_like_everything_else() -> None:
    memory = Memory(fake_traits(n_cells=200), SAVED)
    memory.unpark(memory.park(computed(memory, 1)))
    idle(memory, 2)
    memory.evict()
    assert (found(memory, 1), found(memory, 2)) == (0, 40)


def test_a_saved_text_that_is_too_long_to_bring_back_now_is_read_anew_as_far_as_needed() -> None:
    memory = Memory(fake_traits(n_cells=100), 1000)
    idle(memory, 1, 80)
    memory.evict()
    computed(memory, 2, 30)
    memory.take_moves()
    placed = memory.place(None, tokens_of([1] * 20 + [3] * 10), 10)
    assert placed is not None
    assert placed[1] == 0
    assert not any(isinstance(move, Load) for move in memory.take_moves())


def test_there_is_no_place_when_cells_or_sequences_are_in_use() -> None:
    memory = Memory(fake_traits(n_cells=100, n_seq=2), 1000)
    computed(memory, 1, 60)
    assert memory.place(None, tokens_of([2] * 41), 0) is None
    assert memory.place(None, tokens_of([2] * 30), 11) is None
    computed(memory, 2, 10)
    assert memory.place(None, tokens_of([3]), 0) is None
    assert memory.cells.used == 70


def test_an_idle_conversation_is_gone_on_with_in_its_own_sequence() -> None:
    memory = Memory(fake_traits(n_cells=100), 1000)
    seq = idle(memory, 1)
    memory.take_moves()
    assert memory.place(None, tokens_of([1] * 40 + [2]), 0) == (seq, 40)
    assert memory.take_moves() == ()
    assert memory.n_idle == 0


def test_an_idle_conversation_that_is_much_longer_is_kept_and_its_beginning_shared() -> None:
    memory = Memory(fake_traits(n_cells=100), 1000)
    seq = idle(memory, 1)
    memory.take_moves()
    placed = memory.place(None, tokens_of([1] * 10 + [2]), 0)
    assert placed is not None
    assert placed[1] == 10
    assert memory.take_moves() == (Share(seq, placed[0], 10),)
    assert found(memory, 1) == 40


def test_an_idle_conversation_is_cut_when_there_is_no_other_sequence() -> None:
    memory = Memory(fake_traits(n_cells=100, n_seq=1), 1000)
    seq = idle(memory, 1)
    memory.take_moves()
    assert memory.place(None, tokens_of([1] * 10 + [2]), 0) == (seq, 10)
    assert memory.take_moves() == (Trim(seq, 10),)
    assert memory.cells.used == 10


def test_a_text_is_saved_once_and_a_longer_one_replaces_it() -> None:
    memory = Memory(fake_traits(n_cells=200), 10_000)
    idle(memory, 1)
    memory.evict()
    idle(memory, 1)
    memory.evict()
    assert sum(isinstance(move, Save) for move in memory.take_moves()) == 1
    idle(memory, 1, 50)
    memory.evict()
    assert [type(move) for move in memory.take_moves() if isinstance(move, (Save, Forget))] == [Save, Forget]
    assert len(memory.host) == 1


def test_a_short_text_is_not_worth_saving() -> None:
    memory = Memory(fake_traits(n_cells=100), 10_000)
    idle(memory, 1, 15)
    memory.evict()
    assert len(memory.host) == 0


def test_the_conversation_unused_for_longest_leaves_first() -> None:
    memory = Memory(fake_traits(n_cells=200), 10_000)
    first, second = idle(memory, 1), idle(memory, 2)
    placed = memory.place(None, tokens_of([1] * 40 + [2]), 0)
    assert placed == (first, 40)
    memory.release(first)
    memory.take_moves()
    memory.evict()
    assert memory.take_moves() == (Save(second, 0), Trim(second, 0))


def test_idle_text_that_outweighs_what_is_in_use_moves_to_host_ram_and_is_found_there() -> None:
    memory = Memory(fake_traits(n_cells=2000), 100_000)
    for token in range(1, 6):
        idle(memory, token, 200)
    computed(memory, 7, 200)
    for _ in range(10):
        memory.tidy()
    assert memory.cells.used - 200 <= 256
    assert [found(memory, token) for token in range(1, 6)] == [40] * 5, "nothing was lost"


def test_idle_text_that_host_ram_cannot_hold_stays_where_it_is() -> None:
    memory = Memory(fake_traits(n_cells=2000), 0)
    for token in range(1, 6):
        idle(memory, token, 200)
    computed(memory, 7, 200)
    memory.tidy()
    assert memory.cells.used == 1200
