"""Every error this package raises on purpose, with the status, type and code it leaves under.

LlmServerError
  RequestError            400  the caller asked for something that cannot be done
    UnknownRoute          404
    MethodNotAllowed      405
    InvalidKey            401
    HostRefused           403
    KeyRequired           403  the route is for servers that have an API key
    ContextExceeded       400  the prompt and the answer do not fit the context
    UnknownModel          404
    NoChatTemplate        400  a base model: its file has no chat template and its settings name none
  TryLater                     an error with a Retry-After header
    QueueFull             429  too many requests wait already
    QueueTimeout          503  the request waited longer than it may
    Stopping              503  the server is about to leave
    EngineLost            503  llama.cpp ended the process, which begins anew
  EngineFailed            500  the engine could not compute this request
  ModelLoading            503  the model is still on its way into memory
  ModelFailed             503  the model could not be loaded; the process is about to leave
  StartupError            exit 2, one line on stderr
    ModelFileMissing
    ModelFileBroken
    AddressInUse
    BadSettings
  DownloadError           exit 1, a model could not be fetched or did not match its checksum
  CommandFailed           exit 1, a `models` command could not do its work
  CannotPlan              exit 1, no context can be made for a model, whatever the memory
"""

from __future__ import annotations

from typing import Any


class LlmServerError(Exception):
    """The root: carries what the error envelope needs."""

    status = 500
    type = "server_error"
    code = "internal_error"
    exit_code = 1

    def __init__(self, message: str, *, param: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        self.param = param

    @property
    def headers(self) -> dict[str, str] | None:
        """HTTP headers that go with the error."""
        return None

    def envelope(self) -> dict[str, Any]:
        """Return OpenAI's error object: {"error": {message, type, param, code}}."""
        return {"error": {"message": self.message, "type": self.type, "param": self.param, "code": self.code}}


class RequestError(LlmServerError):
    """The request itself is wrong; sending it again unchanged cannot help."""

    status = 400
    type = "invalid_request_error"
    code = "invalid_request"


class UnknownRoute(RequestError):
    """No such address on this server."""

    status = 404
    code = "unknown_route"


class MethodNotAllowed(RequestError):
    """The address exists, the HTTP method does not fit it."""

    status = 405
    code = "method_not_allowed"


class InvalidKey(RequestError):
    """The API key is missing or wrong."""

    status = 401
    type = "authentication_error"
    code = "invalid_api_key"


class HostRefused(RequestError):
    """The Host header names a machine that this server does not go by."""

    status = 403
    code = "unknown_host"


class KeyRequired(RequestError):
    """The route changes the server, which only who holds an API key may do, and there is none."""

    status = 403
    code = "key_required"


class ContextExceeded(RequestError):
    """Prompt and answer together need more tokens than the model holds."""

    code = "context_length_exceeded"


class UnknownModel(RequestError):
    """No model goes by the name that the request gave."""

    status = 404
    code = "model_not_found"


class NoChatTemplate(RequestError):
    """A chat was asked of a model that continues texts and knows no messages."""

    code = "no_chat_template"


class TryLater(LlmServerError):
    """An error that a later try may not meet; tells when."""

    def __init__(self, message: str, *, param: str | None = None, retry_after_s: int = 1) -> None:
        when = "a second" if retry_after_s == 1 else f"{retry_after_s} seconds"
        super().__init__(f"{message}; try again in {when}", param=param)
        self.retry_after_s = retry_after_s

    @property
    def headers(self) -> dict[str, str] | None:
        return {"Retry-After": str(self.retry_after_s)}


class QueueFull(TryLater):
    """As many requests wait as may wait."""

    status = 429
    type = "rate_limit_error"
    code = "queue_full"


class QueueTimeout(TryLater):
    """The request waited as long as one may and its turn did not come."""

    status = 503
    type = "service_unavailable"
    code = "queue_timeout"


class Stopping(TryLater):
    """The server is about to leave; another one may come."""

    status = 503
    type = "service_unavailable"
    code = "stopping"


class EngineLost(TryLater):
    """llama.cpp ended the process in the middle of its work; a fresh one takes its place."""

    status = 503
    type = "service_unavailable"
    code = "engine_lost"


class EngineFailed(LlmServerError):
    """The engine could not compute the answer; the server lives on and the log has the details."""

    code = "engine_failed"


class ModelLoading(LlmServerError):
    """The model is not in memory yet; the same request works in a moment."""

    status = 503
    type = "service_unavailable"
    code = "model_loading"


class ModelFailed(LlmServerError):
    """The model could not be loaded."""

    status = 503
    type = "service_unavailable"
    code = "model_failed"


class StartupError(LlmServerError):
    """The process cannot start; the message says what to do, and the exit status is 2."""

    code = "startup_error"
    exit_code = 2


class ModelFileMissing(StartupError):
    """No file at the model's path."""


class ModelFileBroken(StartupError):
    """The file is there and is no GGUF model that llama.cpp can read."""


class AddressInUse(StartupError):
    """Another process listens on the port."""


class BadSettings(StartupError):
    """A flag, environment variable or config key has no meaning or no valid value."""


class CommandFailed(LlmServerError):
    """A model could not be quantized or removed; the message says why."""

    code = "command_failed"
    exit_code = 1


class CannotPlan(LlmServerError):
    """No way to load a model can be made, whatever the memory."""

    code = "cannot_plan"
    exit_code = 1


class DownloadError(LlmServerError):
    """A model could not be fetched, or what arrived is not what was promised."""

    code = "download_error"
    exit_code = 1
