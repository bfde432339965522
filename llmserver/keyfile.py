"""Read the file of API keys: one a line; blank lines and lines that begin with # do not count."""

from __future__ import annotations

from pathlib import Path

from llmserver.errors import BadSettings


def read_keys(path: Path) -> tuple[str, ...]:
    """The keys. Raises BadSettings for a file that cannot be read or holds none; no message quotes its lines."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as why:
        raise BadSettings(f"--api_key_file: cannot read {path}: {why.strerror}") from why
    except UnicodeDecodeError as why:
        raise BadSettings(f"--api_key_file: {path} is no UTF-8 text") from why
    keys: dict[str, None] = {}
    for number, line in enumerate(map(str.strip, lines), 1):
        if not line or line.startswith("#"):
            continue
        if any(not char.isprintable() or char.isspace() for char in line):
            raise BadSettings(f"--api_key_file: line {number} of {path} holds a space or control character")
        keys[line] = None
    if not keys:
        raise BadSettings(f"--api_key_file: {path} holds no key: write one a line, # begins a comment")
    return tuple(keys)
