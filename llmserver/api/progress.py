"""How far a prompt is, as fields of a chunk: the place in the queue, or how much is read."""

from __future__ import annotations

from llmserver.api.sse import quote
from llmserver.engine.request import Reading, Waiting


def progress_of(event: Waiting | Reading) -> str:
    """One member of a JSON object."""
    if isinstance(event, Waiting):
        return f'"queue_position":{event.position}'
    read = {"total": event.total, "cache": event.cached, "processed": event.done, "time_ms": event.time_ms}
    return f'"prompt_progress":{quote(read)}'
