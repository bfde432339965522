"""Write the pages that are made from code: docs/configuration.md, the manual page of chat and the env examples of the
systemd units.

python docs/build.py writes them; with --check it says which ones are out of date and exits 1.
"""

from __future__ import annotations

import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT))

from chatbot import settings as chat  # noqa: E402
from chatbot.terminal import manual  # noqa: E402
from chatbot.terminal.flags import TerminalSettings  # noqa: E402
from llmserver import settings as server  # noqa: E402

Row = tuple[str, str, str, str]

# What the env examples show where the default depends on the machine, or where the unit has one of its own.
EXAMPLES = {
    "MODEL": "/opt/paddock/models/default.gguf",
    "N_GPU_LAYERS": "-1",
    "N_THREADS": "4",
    "N_THREADS_BATCH": "4",
    "LLMSERVER_DRAIN_TIMEOUT_S": "300",
}

OURS = {
    "model",
    "n_ctx",
    "n_gpu_layers",
    "n_threads",
    "n_threads_batch",
    "host",
    "port",
    "api_key",
    "drain_timeout_s",
    "allowed_hosts",
    "log_level",
    "engine",
    "n_parallel",
    "embedding_model",
    "max_queue",
    "max_wait_s",
    "step_target_ms",
    "cache_ram_mib",
    "models_ram_mib",
    "ttl_s",
    "adapters",
    "pooling",
    "swa_full",
    "api_key_file",
}


def configuration() -> str:
    """The page of all settings."""
    stock = [row for row in server.describe(server.Options) if row[0][2:] not in OURS]
    parts = [
        "# Configuration",
        "This page is made from the settings in the code by `python docs/build.py`.",
        "A flag wins over the environment, the environment over the config file, the file over the default. An unknown "
        "key in the file and an unknown `CHATBOT_` variable are errors.",
        "## Model server: `python -m llmserver`",
        "The settings that matter most, and Paddock's own:",
        table(row for row in server.describe(server.Options) if row[0][2:] in OURS),
        "A config file (`--config_file`, JSON or YAML, as in llama_cpp.server) holds the server's keys and a list "
        "`models` of model settings. With a file, model settings are taken from it alone.",
        "## Web chat: `python -m chatbot`",
        table(chat.describe(chat.WebSettings)),
        "## Terminal chat: `chat`",
        table(chat.describe(TerminalSettings)),
        "## The model server's other settings",
        "These are llama_cpp.server's own, with its names and meanings; a default that differs is Paddock's choice for "
        "small machines.",
        table(stock),
    ]
    return "\n\n".join(parts) + "\n"


def table(rows: object) -> str:
    """A Markdown table of settings."""
    lines = ["| flag | environment | default | meaning |", "|---|---|---|---|"]
    for flag, env, default, text in rows:  # type: ignore[attr-defined]
        cells = (f"`{flag}`" if flag else "none", f"`{env}`", f"`{default}`" if default else "", text)
        lines.append("| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |")
    return "\n".join(lines)


def server_example() -> str:
    """The env file of llmserver.service."""
    rows = [row for row in server.describe(server.Options) if row[0][2:] in OURS]
    return _example("the model server (llmserver.service)", rows)


def chat_example() -> str:
    """The env file of chatbot.service."""
    rows = [row for row in chat.describe(chat.WebSettings) if row[1] != "CHATBOT_DATA_DIR"]
    return _example("the web chat (chatbot.service)", rows)


def _example(name: str, rows: list[Row]) -> str:
    lines = [
        f"# Settings of {name}. Take the # away from a line to change it, then restart the service.",
        "# Made from the code by docs/build.py; docs/configuration.md has the rest.",
    ]
    for _, env, default, text in rows:
        value = EXAMPLES.get(env) or default or '""'
        if " " in value and not value.startswith('"'):
            value = f'"{value}"'
        lines += ["", f"# {text}", f"#{env}={value}"]
    return "\n".join(lines) + "\n"


PAGES = {
    "docs/configuration.md": configuration,
    "docs/chat.1": manual.page,
    "systemd/llmserver.env.example": server_example,
    "systemd/chatbot.env.example": chat_example,
}


def main(argv: list[str]) -> int:
    """Write the pages, or compare them."""
    stale = [name for name, make in PAGES.items() if _read(name) != make()]
    if "--check" in argv:
        sys.stdout.writelines(f"{name} is out of date: run python docs/build.py\n" for name in stale)
        return 1 if stale else 0
    for name in stale:
        (ROOT / name).write_text(PAGES[name](), encoding="utf-8")
        sys.stdout.write(f"wrote {name}\n")
    return 0


def _read(name: str) -> str:
    path = ROOT / name
    return path.read_text(encoding="utf-8") if path.exists() else ""


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
