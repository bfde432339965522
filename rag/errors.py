"""What can go wrong in the library. Each message tells a person what to do next.

RagError
├── LibraryBroken    the index cannot be read or written
├── UnknownShelf     no shelf, or document, of that name
├── SourceFailed     a page, folder or repository could not be read
│   └── PartUnread   a folder of it, or a list of pages: what lies there stays as it is
├── SourceStopped    its run was ended before it had listed anything
├── SourceBusy       another run reads it at this moment
├── DocumentRefused  one document cannot be taken; the others go on
│   └── DocumentEmpty    nothing stands in it
├── EmbedderAway     nobody makes embeddings
└── TextTooLong      the embedding model cannot read so much at once
"""

from __future__ import annotations


class RagError(Exception):
    """The root; message is for a person, code for programs."""

    code = "library_error"

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message


class LibraryBroken(RagError):
    """The index file cannot be opened, read or written."""

    code = "library_broken"


class UnknownShelf(RagError):
    """There is no such shelf or document for this user."""

    code = "unknown_shelf"


class SourceFailed(RagError):
    """Where documents were to come from cannot be read. status: what a server of the web answered, or 0."""

    code = "source_failed"

    def __init__(self, message: str, status: int = 0) -> None:
        super().__init__(message)
        self.status = status


class PartUnread(SourceFailed):
    """A part of a source cannot be read. below: how the uris begin of what lies there, and stays as it is."""

    def __init__(self, message: str, below: str) -> None:
        super().__init__(message)
        self.below = below


class SourceStopped(RagError):
    """A run was ended on demand before its source had listed anything."""

    code = "source_stopped"


class SourceBusy(RagError):
    """Another run reads this source at this moment."""

    code = "source_busy"


class DocumentRefused(RagError):
    """One document cannot be taken. links: where it leads all the same."""

    code = "document_refused"

    def __init__(self, message: str, links: tuple[str, ...] = ()) -> None:
        super().__init__(message)
        self.links = links


class DocumentEmpty(DocumentRefused):
    """Nothing stands in a document: what it said once is gone."""


class EmbedderAway(RagError):
    """No server makes embeddings, or not now."""

    code = "embedder_away"


class TextTooLong(RagError):
    """The embedding model cannot read so much at once: the text has to be cut."""

    code = "text_too_long"
