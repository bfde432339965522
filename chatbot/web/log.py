"""gunicorn's messages in the one log of this process, and only those that a person needs."""

from __future__ import annotations

import logging
from typing import Any

from gunicorn.glogging import Logger


class QuietLogger(Logger):  # type: ignore[misc]
    """Hands gunicorn's errors to the root logger; its chatter about workers is for debugging alone."""

    def setup(self, cfg: Any) -> None:
        """Take over gunicorn's loggers: no handlers of their own, warnings and above unless debugging."""
        debugging = logging.getLogger().level <= logging.DEBUG
        self.error_log.propagate = True
        self.error_log.setLevel(logging.DEBUG if debugging else logging.WARNING)
        self.access_log.propagate = debugging
