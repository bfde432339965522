"""Owners take turns however much each of them asks; nobody is lost, and who lost a place gets it back first."""

from __future__ import annotations

from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from llmserver.engine.fair import FairQueue, TakeTurns
from tests.server.engine_rig import search


def serve(queue: FairQueue) -> list[int]:
    """Everybody who waits, in the order of being served one by one."""
    served = []
    while len(queue):
        served.append(next(iter(queue)))
        queue.take(served[-1])
    return served


def test_owners_take_turns_however_many_requests_each_has_waiting() -> None:
    queue = FairQueue()
    for number, owner in enumerate("aaaabbc"):
        queue.push(number, owner, 0.0)
    assert list(queue) == [0, 4, 6, 1, 5, 2, 3]
    assert serve(queue) == [0, 4, 6, 1, 5, 2, 3]


def test_an_owner_who_comes_late_is_served_after_one_request_of_each_other() -> None:
    queue = FairQueue()
    for number in range(50):
        queue.push(number, "greedy", 0.0)
    queue.take(0)
    queue.push(99, "modest", 1.0)
    assert list(queue)[:3] == [1, 99, 2]


def test_an_owner_who_was_just_served_and_asks_again_waits_behind_the_others() -> None:
    queue = FairQueue()
    for number, owner in enumerate("ab"):
        queue.push(number, owner, 0.0)
    queue.take(0)
    queue.push(2, "a", 1.0)
    assert list(queue) == [1, 2]


def test_a_request_that_lost_its_place_comes_before_everybody() -> None:
    queue = FairQueue()
    for number, owner in enumerate("aabb"):
        queue.push(number, owner, 0.0)
    queue.push_front(9, "b", 0.0)
    assert next(iter(queue)) == 9
    assert serve(queue) == [9, 0, 2, 1, 3]


def test_of_two_that_lost_their_places_the_later_pushed_comes_first() -> None:
    queue = FairQueue()
    queue.push(1, "a", 0.0)
    queue.push_front(5, "a", 0.0)
    queue.push_front(4, "a", 0.0)
    assert list(queue) == [4, 5, 1]


def test_waiting_counts_from_the_time_given() -> None:
    queue = FairQueue()
    queue.push(1, "a", 10.0)
    queue.push_front(2, "a", 4.0)
    assert (queue.waited_s(1, 12.5), queue.waited_s(2, 12.5)) == (2.5, 8.5)


def test_of_several_parties_each_gets_its_turn_in_as_many_rounds() -> None:
    turns = TakeTurns[str]()
    chosen = [turns.next_of(["a", "b", "c"]) for _ in range(6)]
    assert chosen == ["a", "b", "c", "a", "b", "c"]
    assert turns.next_of(["c", "new"]) == "new"


class Waiting(RuleBasedStateMachine):
    """Requests of three owners come, are served, leave and come back."""

    def __init__(self) -> None:
        super().__init__()
        self.queue = FairQueue()
        self.waiting: dict[int, str] = {}
        self.lines: dict[str, list[int]] = {owner: [] for owner in "abc"}
        self.waits_for: dict[str, int] = dict.fromkeys("abc", 0)
        self.n_pushed = 0

    @rule(owner=st.sampled_from("abc"))
    def push(self, owner: str) -> None:
        self.n_pushed += 1
        self.queue.push(self.n_pushed, owner, 0.0)
        self.waiting[self.n_pushed] = owner
        self.lines[owner].append(self.n_pushed)

    @rule(owner=st.sampled_from("abc"))
    def push_front(self, owner: str) -> None:
        self.n_pushed += 1
        self.queue.push_front(self.n_pushed, owner, 0.0)
        self.waiting[self.n_pushed] = owner
        self.lines[owner].insert(0, self.n_pushed)
        assert next(iter(self.queue)) == self.n_pushed
        self.waits_for = dict.fromkeys("abc", 0)  # whoever comes back may come before its turn

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        number = [*self.waiting][which % len(self.waiting)]
        self.queue.remove(number)
        owner = self.waiting.pop(number)
        self.lines[owner].remove(number)
        if not self.lines[owner]:
            self.waits_for[owner] = 0

    @precondition(lambda self: self.waiting)
    @rule()
    def serve(self) -> None:
        number = next(iter(self.queue))
        self.queue.take(number)
        owner = self.waiting.pop(number)
        assert self.lines[owner].pop(0) == number, "an owner's requests are served in their order"
        self.waits_for[owner] = 0
        for other in set("abc") - {owner}:
            self.waits_for[other] = self.waits_for[other] + 1 if self.lines[other] else 0
            assert self.waits_for[other] <= 2, f"{other} waits while others are served twice"

    @invariant()
    def nobody_is_lost(self) -> None:
        order = list(self.queue)
        assert sorted(order) == sorted(self.waiting)
        assert len(self.queue) == len(order)
        assert all(number in self.queue for number in order)
        for line in self.lines.values():
            assert [number for number in order if number in line] == line
        rounds = [self.lines[self.waiting[number]].index(number) for number in order]
        assert rounds == sorted(rounds), "one of each owner, round after round"


TestWaiting = Waiting.TestCase
TestWaiting.settings = search(60, 50)
