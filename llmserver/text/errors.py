"""What can go wrong between messages and text; knows nothing of HTTP beyond the status each error carries.

LlmServerError
  BadTemplate             500  the model's chat template is no jinja2 that can be compiled
  RequestError
    TemplateRefused       400  the chat template does not accept these messages
    UnknownTemplate       400  no built-in template goes by this name
    BadSchema             400  a JSON schema that no grammar can express
    UnknownTool           400  tool_choice names a function that is not among the tools
"""

from __future__ import annotations

from llmserver.errors import LlmServerError, RequestError


class BadTemplate(LlmServerError):
    """The chat template cannot be compiled; the model needs another one."""

    code = "bad_template"


class TemplateRefused(RequestError):
    """The chat template raised: its own sentence is the message."""

    code = "template_refused"

    def __init__(self, message: str, *, param: str | None = "messages") -> None:
        super().__init__(message, param=param)


class UnknownTemplate(RequestError):
    """No built-in template has this name."""

    code = "unknown_template"


class BadSchema(RequestError):
    """The JSON schema cannot become a grammar."""

    code = "invalid_schema"


class UnknownTool(RequestError):
    """tool_choice asks for a function that the request does not define."""

    code = "unknown_tool"
