"""Stand in for llama.cpp's converter and its environment: scripts that note what they were given, and then act."""

from __future__ import annotations

import json
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from llmserver.library import convert_place
from tests.processes import REPO

WRITE = "write_llama(result)"
HANG = "result.write_bytes(bytes(1_000_000)); time.sleep(600)"

_SCRIPT = """
import json, os, signal, sys, time
import torch
from pathlib import Path
from transformers import dynamic_module_utils
sys.path.insert(0, {repo!r})
from tests.server.tiny_gguf import write_llama

staged = Path(sys.argv[1])
options = dict(zip(sys.argv[2::2], sys.argv[3::2]))
result = Path(options["--outfile"])
files = sorted(path for path in staged.rglob("*") if path.is_file())
seen = {{"files": [str(path.relative_to(staged)) for path in files], "options": options}}
seen["environment"] = dict(os.environ)
seen["json"] = {{path.name: json.loads(path.read_text()) for path in files if path.name.endswith("config.json")}}
seen["weights"] = {{path.name: path.read_bytes().hex() for path in files if path.suffix == ".safetensors"}}
for name, call in (("pickle", torch.load), ("code", dynamic_module_utils.get_class_in_module)):
    try:
        seen[name] = call("something")
    except RuntimeError as why:
        seen[name] = str(why)
Path({note!r}).write_text(json.dumps(seen))
print("INFO:hf-to-gguf:Set meta model", file=sys.stderr, flush=True)
print("Writing:  50%|#####     | 1.0M/2.0M", end="\\r", file=sys.stderr, flush=True)
{action}
"""


@dataclass(frozen=True)
class FakeConverter:
    """Where it is, and what its scripts noted last."""

    scripts: Path
    note: Path

    def act(self, action: str) -> None:
        """Let the scripts end with these lines of Python; `result` is the path that they shall write."""
        text = _SCRIPT.format(repo=str(REPO), note=str(self.note), action=action)
        for name in ("convert_hf_to_gguf.py", "convert_lora_to_gguf.py"):
            (self.scripts / name).write_text(text)

    def seen(self) -> dict[str, Any]:
        """What the script was given: files, options, environment; and what its forbidden calls came to."""
        found: dict[str, Any] = json.loads(self.note.read_text())
        return found

    @property
    def is_called(self) -> bool:
        return self.note.exists()


def install(note: Path) -> FakeConverter:
    """Put it where the real one is looked for, which is under XDG_CACHE_HOME."""
    scripts, environment = convert_place.scripts_folder(), convert_place.environment_folder()
    for folder in (scripts / "conversion", scripts / "transformers", environment / "bin"):
        folder.mkdir(parents=True)
    (scripts / "conversion" / "__init__.py").write_text('TEXT_MODEL_MAP = {"LlamaForCausalLM": "llama"}\n')
    (scripts / "torch.py").write_text("def load(*_):\n    return 'loaded'\n")
    (scripts / "transformers" / "__init__.py").touch()
    (scripts / "transformers" / "dynamic_module_utils.py").write_text(
        "def get_class_in_module(*_):\n    return 'run'\n"
    )
    python = environment / "bin" / "python"
    python.write_text(f'#!/bin/sh\nexec {sys.executable} "$@"\n')
    python.chmod(0o755)
    for folder in (scripts, environment):
        (folder / ".complete").touch()
    fake = FakeConverter(scripts, note)
    fake.act(WRITE)
    return fake
