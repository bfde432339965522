"""Files, patterns and pages of the web become files of the next message, pictures too. Only what a person named is
read."""

from __future__ import annotations

from contextlib import suppress
from glob import glob, has_magic
from pathlib import Path

from chatbot.core.store_rows import NewFile, StoredFile
from chatbot.errors import BadRequest, ModelAway, ModelLoading
from chatbot.terminal.session import Session

_MOST_FILES = 50


def attach(session: Session, name: str) -> list[StoredFile]:
    """Read what a name means: an address, a file, or all files that fit a pattern. Raises ChatError."""
    if name.lower().startswith(("http://", "https://")):
        return [fetch(session, "url", name)]
    return [_read(session, path) for path in paths(name)]


def fetch(session: Session, command: str, argument: str) -> StoredFile:
    """Bring a page, the news or the weather in. Raises ChatError."""
    from chatbot.core import sources

    found = sources.run(command, argument, session.settings)
    return _keep(session, NewFile(found.name, found.kind, found.text, found.source, found.media_type, found.data))


def paths(name: str) -> list[Path]:
    """The files that a name or a pattern means, in order. Raises BadRequest when there are none."""
    path = Path(name).expanduser()
    if path.is_dir():
        raise BadRequest(f"{name} is a folder: name its files with a pattern such as '{name.rstrip('/')}/*.md'")
    if path.exists() or not has_magic(name):
        return [path]
    found = sorted(Path(each) for each in glob(str(path), recursive=True) if Path(each).is_file())
    if not found:
        raise BadRequest(f"no file fits the pattern {name}")
    if len(found) > _MOST_FILES:
        raise BadRequest(f"{len(found)} files fit the pattern {name} and {_MOST_FILES} are the most: narrow it down")
    return found


def _read(session: Session, path: Path) -> StoredFile:
    from chatbot.core import files

    max_bytes = session.settings.max_file_mb * 1_000_000
    try:
        with path.open("rb") as file:
            content = file.read(max_bytes + 1)
    except OSError as why:
        raise BadRequest(f"cannot read {path}: {why.strerror or why}") from why
    read = files.extract(path.name, content, max_bytes=max_bytes)
    told = (files.clean_name(path.name), read.kind, read.text)
    return _keep(session, NewFile(*told, media_type=read.media_type, data=read.data))


def _keep(session: Session, new: NewFile) -> StoredFile:
    """Keep a file for the next message. Raises CannotSee for a picture that the model in force cannot see."""
    if new.data is not None:
        from chatbot.core import pictures

        with suppress(ModelAway, ModelLoading):  # it may be there when the message is sent
            pictures.refuse_blind(session.learn(), session.model)
    told = (new.name, new.kind, new.text, new.source)
    return session.store.add_file(session.chat_id, *told, media_type=new.media_type, data=new.data)
