"""Every error this package raises on purpose, with the status, type and code a client sees.

ChatError
  BadRequest              400  wrong types, an empty message
    MessageTooLong        413
    OptionRefused         400  a value that one of a chat's options may not have
    UnknownChat           404
    UnknownAnswer         404
    UnknownFile           404
    NotRetryable          409
    FileTooLarge          413
    FileRefused           415  it is no text, damaged, encrypted
    AddressRefused        403  an address that is not fetched from here
    NotContinuable        409
    ChatBusy              409
    OriginRefused         403
    HostRefused           403
  ModelError              502  exit 1, the model server answered with an error
    ModelAway             502  exit 3, nobody answers at its address
    ModelLoading          503  it is there and its model is not yet
    ModelBusy             503  its queue is full, or this request waited too long in it
    ModelGone             502  it went away in the middle of an answer
    ContextFull           400  exit 4, the conversation does not fit what the model holds
    NoChatTemplate        400  a base model: it continues texts and cannot chat
    CannotSee             400  a message with pictures, and a model that cannot see
  FetchFailed             502  a page could not be fetched
  LibraryFailed           502  the library of documents cannot answer; its code says why
  StorageError            507  the database could not be written
  OutputLost              exit 1, standard output takes nothing more
  StartupError            exit 2, one line on stderr
    DatabaseInUse
    AddressInUse
    BadSettings
"""

from __future__ import annotations

from typing import Any


class ChatError(Exception):
    """The root: carries what the error envelope needs."""

    status = 500
    type = "server_error"
    code = "internal_error"
    exit_code = 1

    def __init__(self, message: str) -> None:
        super().__init__(message)
        self.message = message

    def wire(self) -> dict[str, Any]:
        """The error object as clients get it: {message, type, code}."""
        return {"message": self.message, "type": self.type, "code": self.code}


class BadRequest(ChatError):
    """The request cannot be understood."""

    status = 400
    type = "invalid_request_error"
    code = "bad_request"


class MessageTooLong(BadRequest):
    """One message is over the limit."""

    status = 413
    code = "message_too_long"


class OptionRefused(BadRequest):
    """One of a chat's options may not have this value, or does not exist; option: its name."""

    def __init__(self, option: str, message: str) -> None:
        super().__init__(message)
        self.option = option

    def wire(self) -> dict[str, Any]:
        """The error object, with the option that is wrong: the others may be right."""
        return {**super().wire(), "option": self.option}


class UnknownChat(BadRequest):
    """No chat has that id."""

    status = 404
    code = "unknown_chat"


class UnknownAnswer(BadRequest):
    """No answer has that id."""

    status = 404
    code = "unknown_answer"


class NotRetryable(BadRequest):
    """The answer is still on its way, or not the last one."""

    status = 409
    code = "not_retryable"


class UnknownFile(BadRequest):
    """No file has that id."""

    status = 404
    code = "unknown_file"


class NotContinuable(BadRequest):
    """The answer is complete, still on its way, or not the last one."""

    status = 409
    code = "not_continuable"


class NotesChanged(BadRequest):
    """The notes of a chat are not those that were to be changed."""

    status = 409
    code = "notes_changed"


class ChatBusy(BadRequest):
    """Another process answers in this chat."""

    status = 409
    code = "chat_busy"


class OriginRefused(BadRequest):
    """The request does not come from this server's own page."""

    status = 403
    code = "foreign_origin"


class FileTooLarge(BadRequest):
    """A file is over the limit."""

    status = 413
    code = "file_too_large"


class FileRefused(BadRequest):
    """No text can be had from a file: it is binary, damaged, encrypted, or costs too much to read."""

    status = 415
    code = "file_refused"


class AddressRefused(BadRequest):
    """The address is not a public one of the web, or fetching is turned off."""

    status = 403
    code = "address_refused"


class HostRefused(BadRequest):
    """The Host header names a machine that this server does not go by."""

    status = 403
    code = "unknown_host"


class NotLoggedIn(BadRequest):
    """There are accounts here, and nobody is logged in."""

    status = 401
    code = "not_logged_in"


class WrongPassword(BadRequest):
    """The name, the password or the code is wrong."""

    status = 401
    code = "wrong_password"


class NotAllowed(BadRequest):
    """Only an administrator may do this, or the account is locked."""

    status = 403
    code = "not_allowed"


class TooManyTries(BadRequest):
    """Too many wrong passwords or codes: the next try has to wait."""

    status = 429
    code = "too_many_tries"

    def __init__(self, wait_s: int) -> None:
        wait = f"{wait_s} second{'' if wait_s == 1 else 's'}" if wait_s < 120 else f"{-(-wait_s // 60)} minutes"
        super().__init__(f"that was wrong too often: wait {wait}, then try again")
        self.wait_s = wait_s


class LimitReached(BadRequest):
    """A user has used up what an administrator allows."""

    status = 429
    code = "limit_reached"


class ModelError(ChatError):
    """The model server answered with an error of its own."""

    status = 502
    type = "model_error"
    code = "model_error"


class ModelAway(ModelError):
    """Nobody answers at the model server's address."""

    code = "model_away"
    exit_code = 3


class ModelLoading(ModelError):
    """The model server is there, its model is not in memory yet."""

    status = 503
    code = "model_loading"
    exit_code = 3


class ModelBusy(ModelError):
    """The model server answers too many others: the same request may work in a moment."""

    status = 503
    code = "model_busy"


class ModelGone(ModelError):
    """The model server went away in the middle of an answer."""

    code = "model_gone"


class ContextFull(ModelError):
    """The conversation does not fit the model's context."""

    status = 400
    code = "context_full"
    exit_code = 4


class NoChatTemplate(ModelError):
    """The model has no chat template: it can continue a text, but not answer in a chat."""

    status = 400
    code = "no_chat_template"


class CannotSee(ModelError):
    """The message has pictures and the model cannot see them."""

    status = 400
    code = "cannot_see"


class FetchFailed(ChatError):
    """A page could not be fetched; what came is not taken for it. answered: the status that its server sent, or 0."""

    status = 502
    type = "fetch_error"
    code = "fetch_failed"

    def __init__(self, message: str, answered: int = 0) -> None:
        super().__init__(message)
        self.answered = answered


class LibraryFailed(ChatError):
    """The library of documents cannot be read, or has no such shelf; code is the library's own."""

    status = 502
    type = "library_error"
    code = "library_error"

    def __init__(self, message: str, code: str = "library_error") -> None:
        super().__init__(message)
        self.code = code


class StorageError(ChatError):
    """The database could not be read or written."""

    status = 507
    type = "storage_error"
    code = "storage_error"


class OutputLost(ChatError):
    """Standard output takes nothing more: its disk is full, say."""

    code = "output_lost"


class StartupError(ChatError):
    """The process cannot start; the message says what to do."""

    code = "startup_error"
    exit_code = 2


class DatabaseInUse(StartupError):
    """Another web server has the same database open."""


class AddressInUse(StartupError):
    """Another process listens on the port."""


class BadSettings(StartupError):
    """A flag or environment variable has no meaning or no valid value."""
