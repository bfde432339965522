"""The documents of the benchmark: the HTML pages of three Debian packages, fetched when they are not here yet."""

from __future__ import annotations

import hashlib
import lzma
import re
import shutil
import subprocess
import tarfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO
from urllib.parse import unquote

from rag.errors import RagError

PACKAGES = ("python3.11-doc", "debian-faq", "git-doc")
_AR = b"!<arch>\n"
_AR_HEADER = 60
_URI = re.compile(r"'(\S+)' (\S+) (\d+) SHA256:([0-9a-f]{64})")
_NO_PAGE = re.compile(r"/(genindex|search|py-modindex|contents)[^/]*$|/whatsnew/changelog")
_OTHER_LANGUAGE = re.compile(r"\.(?!en\.)[a-z]{2}(-[a-z]{2})?\.html$", re.IGNORECASE)
_TIMEOUT_S = 60.0


@dataclass(frozen=True)
class File:
    """A page of a package. path: from the package's root."""

    package: str
    path: str
    data: bytes


def files(folder: Path) -> list[File]:
    """The pages of all packages, fetched into the folder where they are missing. Raises RagError."""
    folder.mkdir(parents=True, exist_ok=True)
    missing = [name for name in PACKAGES if _archive(folder, name) is None]
    if missing:
        _fetch(folder, missing)
    found: list[File] = []
    for name in PACKAGES:
        archive = _archive(folder, name)
        if archive is None:
            raise RagError(f"there is no {name}_*.deb in {folder}: put it there, or give another folder with --corpus")
        found += _pages(name, archive)
    return found


def _archive(folder: Path, package: str) -> Path | None:
    return next(iter(sorted(folder.glob(f"{package}_*.deb"), reverse=True)), None)


def _fetch(folder: Path, packages: list[str]) -> None:
    """Fetch packages from where apt gets its own."""
    for url, name, digest in _addresses(packages):
        try:
            with urllib.request.urlopen(url, timeout=_TIMEOUT_S) as answer:  # noqa: S310 - of apt's configuration
                data = answer.read()
        except (OSError, urllib.error.URLError) as why:
            raise RagError(
                f"no network to fetch {url}: put {name} into {folder}, or give its folder with --corpus"
            ) from why
        if hashlib.sha256(data).hexdigest() != digest:
            raise RagError(f"what {url} sent is not what apt's lists name: run apt-get update and try again")
        (folder / name).write_bytes(data)


def _addresses(packages: list[str]) -> Iterator[tuple[str, str, str]]:
    """The address, the name and the SHA-256 of each package, as apt knows them."""
    apt = shutil.which("apt-get")
    told = ""
    if apt is not None:
        made = subprocess.run([apt, "--print-uris", "download", *packages], capture_output=True, text=True, check=False)  # noqa: S603
        told = made.stdout
    listed = {unquote(name): (url, digest) for url, name, _, digest in _URI.findall(told)}
    for package in packages:
        found = next((name for name in listed if name.startswith(f"{package}_")), None)
        if found is None:
            raise RagError(
                f"apt does not know {package}: run apt-get update, or put {package}_*.deb into a folder and give it "
                "with --corpus"
            )
        url, digest = listed[found]
        if not url.startswith(("http://", "https://")):
            raise RagError(f"apt has {package} at {url}, which is no web address: put it into --corpus yourself")
        yield url, found, digest


def _pages(package: str, archive: Path) -> Iterator[File]:
    """The pages in English of a package, without indexes and lists of changes."""
    with archive.open("rb") as stream:
        try:
            _to_data(stream, archive)
            with lzma.open(stream) as plain, tarfile.open(fileobj=plain, mode="r|") as tar:
                for member in tar:
                    path = member.name.removeprefix("./")
                    if not member.isfile() or not path.endswith(".html") or _NO_PAGE.search(f"/{path}"):
                        continue
                    if not _OTHER_LANGUAGE.search(path):
                        inside = tar.extractfile(member)
                        yield File(package, path, inside.read() if inside else b"")
        except (lzma.LZMAError, tarfile.TarError, EOFError, ValueError) as why:
            raise RagError(f"{archive} cannot be read as a Debian package: fetch it anew") from why


def _to_data(stream: IO[bytes], archive: Path) -> None:
    """Move to where the files of a package begin: its third part, data.tar.xz."""
    if stream.read(len(_AR)) != _AR:
        raise RagError(f"{archive} is no Debian package: fetch it anew")
    while header := stream.read(_AR_HEADER):
        name, size = header[:16].decode("ascii", "replace").strip().rstrip("/"), int(header[48:58])
        if name == "data.tar.xz":
            return
        stream.seek(size + size % 2, 1)
    raise RagError(f"{archive} has no data.tar.xz: unpack it and pack it anew with xz")
