"""Get llama.cpp's own converter here: its scripts, and an environment apart from ours with the packages they import.

Both are made once for a version, in the cache folder, and may be deleted at any time.
"""

from __future__ import annotations

import fcntl
import importlib.metadata
import os
import platform
import re
import shutil
import subprocess
import sys
import tarfile
import tempfile
import zlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from llmserver.errors import BadSettings, CommandFailed, DownloadError

Say = Callable[[str], None]

TORCH = "2.13.0"
PACKAGES = (
    'transformers==5.23.0; python_version >= "3.11"',
    'transformers==5.20.2; python_version < "3.11"',
    *("sentencepiece==0.2.3", "protobuf==7.36.2", "numpy<3"),
)
"""What the converter imports besides torch and its own gguf-py; the versions are those it was tried with."""

_TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
_COMPLETE = ".complete"
_SCRIPTS_MB = 400
_PACKAGES_MB = 2_500
_CUDA_MB = 12_000
_WANTED = re.compile(
    r"[^/]+/vendor/llama\.cpp/"
    r"(?P<path>LICENSE|convert_(?:hf|lora)_to_gguf\.py|(?:conversion|gguf-py/gguf|models/templates)/[\w./-]+)"
)
_BACKEND = """
from pathlib import Path

def prepare_metadata_for_build_wheel(folder, config_settings=None):
    place = Path(folder, "llama_cpp_python-{version}.dist-info")
    place.mkdir()
    (place / "METADATA").write_text("Metadata-Version: 2.1\\nName: llama_cpp_python\\nVersion: {version}\\n")
    return place.name
"""
"""A stand-in for the build backend: pip asks it for a source package's metadata before it hands the package over."""


@dataclass(frozen=True)
class Place:
    """Where the converter is."""

    python: Path
    scripts: Path


def get(asked: Sequence[str], say: Say) -> Place:
    """Return the converter, made first where it is not here.

    `asked` are the model classes of which it must know one. Raises BadSettings if it knows none, DownloadError and
    CommandFailed; what was made by half is removed.
    """
    scripts, environment = scripts_folder(), environment_folder()
    with _alone(scripts.parent, say):
        if not (scripts / _COMPLETE).exists():
            say(f"the converter is not here yet: getting llama.cpp's, about 80 MB, from llama-cpp-python {_version()}")
        _make(scripts, _SCRIPTS_MB, _get_scripts)
        _refuse_unknown(scripts, asked)
        if not (environment / _COMPLETE).exists():
            say(
                f"it needs PyTorch and transformers once, about 250 MB to download and 1.2 GB at {environment}; "
                "Paddock itself does not use them"
            )
        _make(environment, _PACKAGES_MB, lambda folder: _get_packages(folder, say))
        _drop_others(scripts, environment)
    return Place(_python(environment), scripts)


def is_here() -> bool:
    """Say whether the converter can be used without a download."""
    return all((folder / _COMPLETE).exists() for folder in (scripts_folder(), environment_folder()))


def scripts_folder() -> Path:
    """Return where the scripts of this llama.cpp are, or will be."""
    return _home() / f"llama.cpp-{_version()}"


def environment_folder() -> Path:
    """Return where the environment for them is, or will be; another set of packages has another folder."""
    mark = zlib.crc32(" ".join((TORCH, *PACKAGES)).encode())
    return _home() / f"python{sys.version_info.major}.{sys.version_info.minor}-{mark:08x}"


def cache_folder() -> Path:
    """Return Paddock's cache, the one that setup.sh uses."""
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "paddock"


def _home() -> Path:
    return cache_folder() / "converter"


def _version() -> str:
    """Return the version of llama-cpp-python, whose source package holds the llama.cpp that it was built from."""
    return importlib.metadata.version("llama_cpp_python").partition("+")[0]


def _python(environment: Path) -> Path:
    return environment / "bin" / "python"


@contextmanager
def _alone(home: Path, say: Say) -> Iterator[None]:
    """Hold the folder against other imports that want to fill it."""
    try:
        home.mkdir(parents=True, exist_ok=True)
        with (home / ".lock").open("w") as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                say("another import is getting the converter: waiting for it")
                fcntl.flock(lock, fcntl.LOCK_EX)
            yield
    except OSError as why:
        raise CommandFailed(
            f"cannot write at {home}: {why.strerror or why}; set XDG_CACHE_HOME to another place"
        ) from why


def _make(folder: Path, n_mb: int, fill: Callable[[Path], None]) -> None:
    """Fill the folder unless that is done already; half a one never counts and does not stay."""
    if (folder / _COMPLETE).exists():
        return
    shutil.rmtree(folder, ignore_errors=True)
    _require_mb(folder.parent, n_mb)
    try:
        folder.mkdir()
        fill(folder)
        (folder / _COMPLETE).touch()
    except BaseException:
        shutil.rmtree(folder, ignore_errors=True)
        raise


def _require_mb(folder: Path, n_mb: int) -> None:
    free_mb = shutil.disk_usage(folder).free // 1_000_000
    if free_mb < n_mb:
        raise CommandFailed(
            f"the converter needs {n_mb:,} MB at {folder}, {free_mb:,} MB are free: make room or set XDG_CACHE_HOME "
            "to another place"
        )


def _get_scripts(folder: Path) -> None:
    """Take the scripts out of llama-cpp-python's source package, of which nothing is built or run."""
    version = _version()
    with tempfile.TemporaryDirectory(dir=folder) as name:
        temporary = Path(name)
        backend = temporary / "backend" / "scikit_build_core"
        backend.mkdir(parents=True)
        (backend / "__init__.py").touch()
        (backend / "build.py").write_text(_BACKEND.format(version=version), encoding="utf-8")
        words = ["download", "--no-deps", "--no-binary=:all:", "--no-build-isolation", f"--dest={temporary}"]
        package = f"llama-cpp-python=={version}"
        if reason := _pip(Path(sys.executable), *words, package, PYTHONPATH=str(backend.parent)):
            raise DownloadError(f"pip could not download the source of {package}: {reason}. Check the network")
        archives = sorted(temporary.glob("*.tar.gz"))
        n_files = sum(_unpack(archive, folder) for archive in archives)
    if not (folder / "convert_hf_to_gguf.py").exists() or not (folder / "gguf-py").is_dir():
        raise DownloadError(f"the source of {package} holds no converter in its {n_files} fitting files")


def _unpack(archive: Path, folder: Path) -> int:
    """Write the wanted files, and only those, to the folder; return how many."""
    n_files = 0
    try:
        with tarfile.open(archive, "r:gz") as packed:
            for member in packed:
                found = _WANTED.fullmatch(member.name)
                content = packed.extractfile(member) if found and member.isfile() else None
                if found is None or content is None or ".." in Path(found["path"]).parts:
                    continue
                target = folder / found["path"]
                target.parent.mkdir(parents=True, exist_ok=True)
                with target.open("wb") as file:
                    shutil.copyfileobj(content, file)
                n_files += 1
    except (tarfile.TarError, EOFError, zlib.error) as why:
        raise DownloadError(f"{archive.name} arrived damaged: run it again") from why
    return n_files


def _refuse_unknown(scripts: Path, asked: Sequence[str]) -> None:
    """Refuse a model that no part of the converter names, before more is downloaded."""
    texts = [path.read_text(encoding="utf-8") for path in (*scripts.glob("*.py"), *scripts.glob("conversion/*.py"))]
    if asked and not any(f'"{name}"' in text for name in asked for text in texts):
        raise BadSettings(
            f"llama.cpp's converter (llama-cpp-python {_version()}) does not know the architecture {asked[0]}: "
            "look for a GGUF file of the model, or for a newer Paddock"
        )


def _get_packages(folder: Path, say: Say) -> None:
    """Make the environment, with PyTorch for the processor alone wherever that can be had."""
    made = subprocess.run(  # noqa: S603  our own interpreter
        [sys.executable, "-m", "venv", str(folder)], capture_output=True, text=True, check=False
    )
    if made.returncode != 0:
        raise CommandFailed(
            f"Python could not make an environment at {folder} (on Debian and Ubuntu, install python3-venv): "
            f"{_last_line(made.stdout + made.stderr)}"
        )
    reason = ""
    for words in _ways_to_torch():
        if words == (f"torch=={TORCH}",) and reason:
            say("no PyTorch for processors alone is in reach: taking PyPI's for NVIDIA cards, about 3 GB to download")
            _require_mb(folder, _CUDA_MB)
        reason = _pip(_python(folder), "install", "--only-binary=:all:", *words, *PACKAGES)
        if not reason:
            return
    raise DownloadError(f"pip could not install what the converter imports: {reason}. Check the network, run it again")


def _ways_to_torch() -> list[tuple[str, ...]]:
    """Return what to ask pip for, best first. Linux's wheels on PyPI are for NVIDIA cards and very large."""
    plain, small = f"torch=={TORCH}", f"torch=={TORCH}+cpu"
    if platform.system() != "Linux":
        return [(plain,)]
    return [(small,), (small, f"--extra-index-url={_TORCH_INDEX}"), (plain,)]


def _pip(python: Path, command: str, *words: str, **changes: str) -> str:
    """Run pip, with its progress on a terminal; return its reason if it failed, an empty text if not."""
    is_terminal = sys.stderr.isatty()
    quiet = ["--disable-pip-version-check", "--no-input", "--retries=2"]
    done = subprocess.run(  # noqa: S603  our own interpreter or the environment's; the words are ours
        [str(python), "-m", "pip", command, *quiet, *words],
        stdout=sys.stderr if is_terminal else subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=_without_python(os.environ) | changes,
        text=True,
        check=False,
    )
    if done.returncode == 0:
        return ""
    return _last_line(f"{done.stdout or ''}\n{done.stderr}", "ERROR: ")


def _without_python(environment: Mapping[str, str]) -> dict[str, str]:
    return {name: value for name, value in environment.items() if name not in ("PYTHONPATH", "PYTHONHOME")}


def _last_line(text: str, start: str = "") -> str:
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    chosen = [line.removeprefix(start) for line in lines if line.startswith(start)] or lines or ["it gave no reason"]
    return chosen[-1].rstrip(".")


def _drop_others(*kept: Path) -> None:
    """Remove what older versions left, which is large."""
    for path in kept[0].parent.iterdir():
        if path.is_dir() and path not in kept:
            shutil.rmtree(path, ignore_errors=True)
