"""What happens in a turn, as values: the web page, the terminal and the store all read these."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from enum import Enum
from types import EllipsisType
from typing import Any


class Status(str, Enum):
    """Where an answer stands. The last four are final."""

    QUEUED = "queued"
    WAITING = "waiting"  # for a model that is still loading
    READING = "reading"
    STREAMING = "streaming"
    DONE = "done"
    STOPPED = "stopped"
    ERROR = "error"
    INTERRUPTED = "interrupted"

    @property
    def is_final(self) -> bool:
        """Nothing follows."""
        return self in {Status.DONE, Status.STOPPED, Status.ERROR, Status.INTERRUPTED}


@dataclass(frozen=True)
class Changed:
    """The answer has come to another stage."""

    status: Status


@dataclass(frozen=True)
class Notice:
    """Something a person should know, such as turns that were left out."""

    text: str


@dataclass(frozen=True)
class Delta:
    """The next piece of the answer's text."""

    text: str


@dataclass(frozen=True)
class Thought:
    """The next piece of the model's reasoning, which is no part of the answer."""

    text: str


@dataclass(frozen=True)
class Queued:
    """The model answers others first: n_before requests of them."""

    n_before: int


@dataclass(frozen=True)
class Reading:
    """The model reads the conversation: percent of it, 0 to 100."""

    percent: int


@dataclass(frozen=True)
class Timings:
    """Seconds from asking to the first piece and to the end, and the number of pieces."""

    first_s: float | None
    total_s: float
    n_pieces: int


@dataclass(frozen=True)
class Done:
    """The end, exactly one a turn. error is {message, type, code} when the status says so."""

    status: Status
    finish_reason: str | None = None
    error: dict[str, Any] | None = None
    usage: dict[str, int] | None = None
    timings: Timings | None = None


@dataclass(frozen=True)
class Looked:
    """One look into the library on the way to an answer. answer: a draft for a part of it; is_answered: whether the
    passages answer the question, None where nobody asked."""

    question: str
    n_passages: int
    answer: str = ""
    is_answered: bool | None = None


@dataclass(frozen=True)
class Grounds:
    """What the answer rests on, all of it each time: the message's meta["library"]. Comes once before anything is
    looked for, once with all passages before the text, and once before Done with those that were cited."""

    library: Mapping[str, Any]


@dataclass(frozen=True)
class Given:
    """How the model got the files of the message, by their names: whole, or in the parts that were found in them. The
    answer's meta["files"]."""

    whole: tuple[str, ...] = ()
    parts: tuple[str, ...] = ()


# What is true only until the next event: shown, never kept.
Progress = Queued | Reading
Event = Changed | Notice | Delta | Thought | Looked | Grounds | Given | Progress | Done


@dataclass(frozen=True)
class Numbered:
    """An event with its place in the answer's log; the first is 1. Progress has the number of the event before it."""

    seq: int
    event: Event

    def wire(self) -> dict[str, Any]:
        """As sent to a browser: {seq, type, ...fields of the event}."""
        return {"seq": self.seq, "type": type(self.event).__name__.lower(), **asdict(self.event)}


@dataclass(frozen=True)
class Image:
    """A picture as the model gets it; name is what the person calls it."""

    media_type: str
    data: bytes = field(repr=False)
    name: str = ""


@dataclass(frozen=True)
class Attached:
    """A file of text that stands in a message. kind: as it was read, such as text, table or json."""

    id: str
    name: str
    text: str = field(repr=False)
    source: str = ""
    kind: str = "text"


@dataclass(frozen=True)
class Message:
    """One message as the model gets it: its text, and the pictures that belong to it.

    files are those whose text stands in content; said is what the person wrote beside them.
    """

    role: str
    content: str
    images: tuple[Image, ...] = ()
    files: tuple[Attached, ...] = ()
    said: str = ""

    @property
    def own(self) -> str:
        """What was written, without any file's text."""
        return self.said if self.files else self.content


@dataclass(frozen=True)
class ChatRequest:
    """A message that a person sent. key makes a repeated send harmless; chat_id None begins a new chat.

    parent is the message to follow instead of the last one that is shown, None to begin anew; options are for a new
    chat; files are ids of what was added before; owner_id is the user who sends it.
    """

    chat_id: str | None
    text: str
    key: str = ""
    parent: str | EllipsisType | None = ...
    files: tuple[str, ...] = ()
    options: Mapping[str, Any] = field(default_factory=dict)
    owner_id: str = "owner"
