"""A chat with a library, as page and terminal have it: store, jobs, turns and a door, over a scripted server."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from chatbot.core import turn
from chatbot.core.events import ChatRequest, Done, Event, Grounds, Looked
from chatbot.core.jobs import Jobs
from chatbot.core.library import open_library
from chatbot.core.llm import ModelClient
from chatbot.core.store import Store, Stored
from chatbot.settings import ChatSettings
from tests.chat.rooms import Watcher
from tests.fakes import WAIT_S, FakeServer, Finish, Step
from tests.processes import until

EGGS = "# Boiling\n\nBoil the eggs for nine minutes.\n\n# Cooling\n\nPut the eggs into cold water at once.\n"
WOOL = "# Wool\n\nLlama wool is spun by hand in spring.\n"


class Stage:
    """One process's chats. Every answer follows the server's script."""

    def __init__(self, folder: Path, server: FakeServer, **settings: Any) -> None:
        server.embeds = True
        self.server = server
        chosen = {"library_min_score": 0.35, **settings}
        self.settings = ChatSettings(url=server.url, **chosen)
        self.model = ModelClient(server.url, "", 20)
        self.store = Store(folder / "chat.db")
        self.door = open_library(self.settings, folder / "chat.db", people=self.store.people)
        self.watcher = Watcher()
        self.jobs = Jobs(self.store, self._run, self.watcher)

    def _run(self, asked: turn.Turn, cancel: Any) -> Any:
        return turn.run(asked, self.model, self.settings, cancel, library=self.door)

    def close(self) -> None:
        self.jobs.close()
        self.store.close()
        self.door.close()

    def shelf(
        self,
        name: str,
        owner_id: str = "owner",
        *,
        is_shared: bool = False,
        documents: Mapping[str, str] | None = None,
        **more: str,
    ) -> int:
        """A shelf with documents: the text of each by its name, without the ending."""
        library = self.door.open()
        made = library.index.add_shelf(owner_id, name, is_shared=is_shared)
        for each, text in {**(documents or {}), **more}.items():
            library.add_file(owner_id, made.id, f"{each}.md", text.encode())
        return made.id

    def begin(self, text: str, chat_id: str | None = None, **options: Any) -> Stored:
        """Send a message; its answer is on its way."""
        owner = options.pop("owner_id", "owner")
        files = options.pop("files", ())
        asked = ChatRequest(chat_id, text, options=options, owner_id=owner, files=files)
        return self.jobs.start(asked)[1]

    def ask(self, text: str, chat_id: str | None = None, **options: Any) -> Stored:
        """Send a message and wait for its answer, as it is stored."""
        return self.ended(self.begin(text, chat_id, **options).id)

    def ended(self, answer_id: str) -> Stored:
        self.watcher.end_of(answer_id)
        until(lambda: self.store.message(answer_id).status.is_final, "the answer in the store", WAIT_S)
        return self.store.message(answer_id)

    def events(self, answer_id: str, *kinds: type[Event]) -> list[Any]:
        heard = [numbered.event for numbered in self.watcher.heard[answer_id]]
        return [event for event in heard if isinstance(event, kinds or (Looked, Grounds, Done))]

    @property
    def prompts(self) -> list[str]:
        """The last message of each request to the model."""
        return [request["messages"][-1]["content"] for request in self.server.requests]


def says(*pieces: Step) -> list[Step]:
    return [*pieces, Finish()]


def held(marks: list[dict[str, Any]]) -> list[tuple[int, bool]]:
    """(number, whether it is confirmed) of each footnote, whatever it quotes."""
    return [(mark["n"], mark["confirmed"]) for mark in marks]


def numbers(library: dict[str, Any]) -> Sequence[int]:
    return [each["n"] for each in library["sources"]]
