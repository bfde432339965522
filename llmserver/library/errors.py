"""What a `models` command raises when it could not do its work and neither a download nor the arguments are to blame.

LlmServerError
  CommandFailed           exit 1, one line on stderr
"""

from __future__ import annotations

from llmserver.errors import LlmServerError


class CommandFailed(LlmServerError):
    """A model could not be quantized or removed; the message says why."""

    code = "command_failed"
    exit_code = 1
