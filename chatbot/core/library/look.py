"""Look into the library for a turn, beside the thread that waits, so that a person can stop it at any moment."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, field, replace
from functools import cached_property
from queue import Empty, SimpleQueue
from typing import TYPE_CHECKING

from chatbot.core import attachments, files
from chatbot.core.events import Attached, Event, Grounds, Looked, Message, Notice
from chatbot.core.library import overview
from chatbot.core.library.asking import Asker
from chatbot.core.library.grounds import Rests
from chatbot.core.library.places import Places
from chatbot.core.library.question import Asked, asked_of
from chatbot.core.library.searching import Searching
from chatbot.errors import ChatError, ContextFull, LibraryFailed
from rag.answer import LEAST_TOKENS, NOT_FOUND, Budget, Depth, Prepared, Step, prepare, prepare_whole
from rag.citations import numbered
from rag.documents import Passage
from rag.errors import RagError

if TYPE_CHECKING:
    from chatbot.core.cancel import Cancel
    from chatbot.core.library import Door
    from chatbot.core.model import ModelInfo
    from chatbot.core.turn import Model, Turn
    from chatbot.settings import ChatSettings
    from rag.answer import Question
    from rag.library import Library

_TICK_S = 0.05
_PASSAGE_TOKENS = 200
_FEWEST_PASSAGES = 6
_COUNTED_CHARS = 200_000  # of a longer file the tokens are estimated
_NEAREST = 2  # passages that go with an overview, whatever their score
_OVERVIEW = "Nothing in {} fits the question: the beginning and parts of the rest were sent."
_MOST_CHARS = 12  # of a token: what has more is too long, whatever the tokenizer says


@dataclass(frozen=True)
class Ready:
    """A turn with what was found in place of its question, and what its answer rests on; or the answer itself."""

    turn: Turn
    rests: Rests
    refusal: str = ""


@dataclass(frozen=True)
class Scene:
    """What a look has to know. long: files of the conversation that are too long for the model, n_room tokens."""

    turn: Turn
    long: Sequence[Attached]
    n_room: int | None
    info: ModelInfo
    model: Model
    settings: ChatSettings
    door: Door


@dataclass(frozen=True)
class _End:
    """The look is over."""

    ready: Ready | None = None
    error: BaseException | None = None


def look(scene: Scene, cancel: Cancel) -> Generator[Event, None, Ready | None]:
    """Look, and tell of each step; None when the turn asks nothing of the library or was stopped.

    Raises LibraryFailed, and what the model server's refusal is.
    """
    told: SimpleQueue[Event | _End] = SimpleQueue()
    name = scene.turn.options.model or scene.info.name
    reasons = "reasoning" in scene.info.capabilities
    asker = Asker(scene.model, name, reasons=reasons, patience_s=scene.settings.loading_timeout_s)
    work = Work(scene, told.put, asker, lambda: cancel.is_set)

    def run() -> None:
        try:
            told.put(_End(work.ready()))
        except BaseException as why:  # noqa: BLE001 - raised again where it is waited for
            told.put(_End(error=why))

    threading.Thread(target=run, name="look", daemon=True).start()
    while not cancel.is_set:
        with suppress(Empty):
            found = told.get(timeout=_TICK_S)
            if not isinstance(found, _End):
                yield found
            elif found.error is not None:
                raise _ours(found.error)
            else:
                return found.ready
    asker.cancel()
    return None


def preview(scene: Scene) -> tuple[Turn, str]:
    """The turn as the model would get it with one quick look, and the passages in it. Nothing is kept for it."""
    try:
        ready = Work(scene, lambda _: None, None, lambda: False).ready()
    except (RagError, ChatError):  # the answer itself will say so
        ready = None
    if ready is None or ready.refusal:
        return scene.turn, ""
    return ready.turn, numbered(ready.rests.passages or {})


def _ours(why: BaseException) -> BaseException:
    return LibraryFailed(why.message, why.code) if isinstance(why, RagError) else why


@dataclass
class Work:
    """One look, in a thread of its own. put takes its events; without an asker it is quick and keeps nothing."""

    scene: Scene
    put: Callable[[Event], None]
    asker: Asker | None
    is_cancelled: Callable[[], bool]
    steps: list[Step] = field(default_factory=list)
    held: list[Event] | None = None  # what nobody hears unless something is found
    best_score: float | None = None

    def ready(self) -> Ready | None:
        """Find what the turn asks for. Raises RagError and ChatError."""
        asked = asked_of(self.scene.turn, self.scene.long, self.scene.door, lambda text: self._say(Notice(text)))
        if asked is None:
            return None
        if self.asker is None:
            asked = replace(asked, depth=Depth.QUICK)
        pinned = asked.question.pinned
        earlier = tuple(self.scene.turn.grounds.get("steps", ())) if pinned else ()
        begun = Rests(asked.names, asked.file_names, asked.depth.value, steps=earlier)
        is_open = asked.is_sure or not set(asked.files).isdisjoint(self._last.files)
        self.held = None if is_open else []
        if is_open:
            self.put(Grounds(begun.begun()))
        try:
            prepared, is_whole = self._prepared(asked)
        except ContextFull:
            if is_open:
                raise
            return None  # there is no more room for any part of files of earlier messages
        steps = earlier if pinned else tuple(map(asdict, self.steps))
        rests = replace(begun, is_whole=is_whole, steps=steps, best_score=self.best_score)
        if not prepared.passages:
            return Ready(self.scene.turn, rests, self._refusal(asked)) if asked.is_sure else None
        for event in (Grounds(begun.begun()), *self.held) if self.held is not None else ():
            self.put(event)
        links = {number: self._library.link(each) for number, each in prepared.passages.items()}
        rests = replace(rests, passages=prepared.passages, links=links)
        self.put(Grounds(rests.begun()))
        message = attachments.asked_with(self._last, prepared.content, self.scene.long)
        return Ready(replace(self.scene.turn, messages=[*self.scene.turn.messages[:-1], message]), rests)

    def _prepared(self, asked: Asked) -> tuple[Prepared, bool]:
        """What the model gets, and whether it is whole documents."""
        question = replace(asked.question, pinned=self._places.reread(asked.question.pinned))
        budget = Budget(self._n_tokens(), self._min_score, self._count)
        n_chars = budget.n_tokens * _MOST_CHARS
        kept = {file.id: document_id for file in asked.files if (document_id := self._kept(file))}
        single = [*(int(each.id) for each in asked.documents), *kept.values()]
        if single and not asked.shelves and not question.pinned:
            whole = prepare_whole(question, self._places.whole(single, n_chars), budget, self._tell)
            if whole is not None:
                return whole, True
        for file in () if question.pinned else asked.files:
            self._say(Notice(self._in_parts(file)))
        shelf_ids = [shelf.id for shelf in asked.shelves]
        n_most = max(_FEWEST_PASSAGES, self.scene.settings.library_tokens // _PASSAGE_TOKENS)

        def find(text: str) -> list[Passage]:
            return self._places.find(text, shelf_ids, single, n_most, budget.min_score)

        tell = _unheard if question.pinned else self._tell
        prepared = prepare(question, find, budget, asked.depth, self.asker, tell, self.is_cancelled)
        is_near = asked.is_sure and (self.best_score or 0.0) >= self._min_score  # the model found them wanting
        if not prepared.passages and not is_near and (alone := self._alone(asked, kept)):
            return self._overview(question, alone, budget), False
        return prepared, False

    def _alone(self, asked: Asked, kept: Mapping[str, int]) -> dict[int, str]:
        """The documents that a person means by themselves, by name: what is named, and files just given."""
        given = asked.named | {each.id for each in self._last.files}
        found = {int(each.id): each.name for each in asked.documents}
        files_meant = [each for each in asked.files if each.id in given and each.id in kept]
        return found | {kept[each.id]: files.clean_name(each.name) for each in files_meant}

    def _overview(self, question: Question, alone: Mapping[int, str], budget: Budget) -> Prepared:
        """Documents of which nothing fits the question, as with "summarise": what is nearest, and an overview."""
        self._say(Notice(_OVERVIEW.format(", ".join(dict.fromkeys(alone.values())))))
        ids, n_tokens = list(alone), budget.n_tokens * 9 // 10
        near = overview.fitting(self._places.find(question.looked_for, (), ids, _NEAREST), n_tokens // 3)
        n_tokens -= sum(budget.count(each.text) for each in near)
        told = overview.in_order([*near, *self._places.overview(ids, n_tokens)], ids)
        return prepare(question, lambda _: told, replace(budget, min_score=0.0))

    def _kept(self, file: Attached) -> int | None:
        """The document of a file of the chat; made where there is none yet."""
        found = self._places.file(file)
        return found if found or self.asker is None else self._places.add_file(file, self.is_cancelled)

    def _tell(self, step: Step) -> None:
        self.steps.append(step)
        self._say(Looked(**asdict(step)))

    def _say(self, event: Event) -> None:
        if self.held is None:
            self.put(event)
        else:
            self.held.append(event)

    def _hear_score(self, score: float) -> None:
        self.best_score = max(self.best_score or 0.0, score)

    def _n_tokens(self) -> int:
        """Tokens that passages may take: the setting, at most half of what the model holds, and what is free."""
        most, n_ctx, turn = self.scene.settings.library_tokens, self.scene.info.n_ctx, self.scene.turn
        if n_ctx is None:
            return most
        n_system = self._count(turn.options.system_prompt or "")
        n_own = self._count(attachments.asked_with(self._last, self._last.own, self.scene.long).content)
        most_written = turn.options.longest(self.scene.settings.max_tokens)
        n_free = files.room_beside(n_ctx, n_system, most_written) - n_own
        if min(n_ctx // 2, n_free) < LEAST_TOKENS and most >= LEAST_TOKENS:
            raise ContextFull(
                f"there is no room for passages of documents: the model holds {n_ctx:,} tokens, and this message with "
                f"its files takes {n_own:,} of them; send it without files, or start the model server with a larger "
                f"--n_ctx than {n_ctx}"
            )
        return min(most, n_ctx // 2, n_free)

    def _in_parts(self, file: Attached) -> str:
        n_tokens = self._count(file.text) if len(file.text) < _COUNTED_CHARS else len(file.text) // 4
        is_known = file in self.scene.long and self.scene.n_room is not None
        room = f", and the model has room for {self.scene.n_room:,}" if is_known else ""
        return f"{files.clean_name(file.name)} was read in parts: it has about {n_tokens:,} tokens{room}."

    def _refusal(self, asked: Asked) -> str:
        """The answer where the library has none: how near it came, and what to do."""
        where = f" on {', '.join(asked.names)}" if asked.names else ""
        if asked.shelves and not asked.documents and not any(shelf.n_documents for shelf in asked.shelves):
            return f"{NOT_FOUND} There is nothing{where} yet: add documents first."
        best, least = self.best_score, self._min_score
        if best is None:
            near = f"Nothing{where} has to do with these words."
        elif best < least:
            near = f"The nearest passage{where} has a score of {best:.2f}, and {least:.2f} is needed."
        else:
            near = f"The nearest passages{where}, with a score of {best:.2f}, do not answer it."
        careful = "" if asked.depth is Depth.CAREFUL else ", or choose the depth Careful, which asks in several ways"
        return f"{NOT_FOUND} {near} Ask in other words, name another shelf or a document with #name{careful}."

    @cached_property
    def _library(self) -> Library:
        return self.scene.door.open()

    @cached_property
    def _places(self) -> Places:
        chosen = self.scene.settings.library_min_score
        searching = Searching(self._library, lambda text: self._say(Notice(text)), chosen)
        door, owner_id = self.scene.door, self.scene.turn.owner_id
        called = {each.id: each.name for each in door.shelves(owner_id) if not each.is_own}
        return Places(self._library, owner_id, searching, self._hear_score, door.is_kept, called)

    @cached_property
    def _min_score(self) -> float:
        return self._places.searching.min_score()

    def _count(self, text: str) -> int:
        return self.scene.model.count_tokens(text, self.scene.turn.options.model) if text else 0

    @property
    def _last(self) -> Message:
        return self.scene.turn.messages[-1]


def _unheard(step: Step) -> None:
    """A step that was told before."""
