"""The files of a git repository at one commit: a copy without a working tree, so that nothing of it is ever run."""

from __future__ import annotations

import hashlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit

from rag.documents import Document
from rag.errors import DocumentRefused, SourceFailed
from rag.sources import Read
from rag.sources.folder import is_wanted

MAX_BYTES = 5_000_000  # of one file
_FETCH_S = 600
_ASK_S = 60
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
# How the sites where most repositories are link to a file at a commit.
_BLOB = {"gitlab.com": "/-/blob/", "codeberg.org": "/src/commit/", "bitbucket.org": "/src/"}


@dataclass(frozen=True)
class Repository:
    """A repository: an https address, or a folder of this machine. place: the folder of its copy.

    branch: empty for the one that the repository calls its own.
    """

    address: str
    place: Path
    read: Read
    branch: str = ""
    only: Sequence[str] = ()
    is_networked: bool = True

    def items(self) -> Iterator[BlobItem]:
        """The files of the newest commit. Raises SourceFailed."""
        commit = self._fetch()
        for path, blob, n_bytes in _listed(self.place, commit):
            if is_wanted(path.rpartition("/")[2], self.only):
                yield BlobItem(self, commit, path, blob, n_bytes)

    def link(self, commit: str, path: str, line: int = 0) -> str:
        """Where a person sees a file of a commit; a file's address where the repository is a folder."""
        parts = urlsplit(self.address)
        if parts.scheme != "https":
            return (Path(self.address).expanduser().absolute() / path).as_uri()
        base = self.address.removesuffix("/").removesuffix(".git")
        return f"{base}{_BLOB.get(parts.hostname or '', '/blob/')}{commit}/{quote(path)}{f'#L{line}' if line else ''}"

    def _fetch(self) -> str:
        """Bring the copy up to date; the commit."""
        address = _checked(self.address, is_networked=self.is_networked)
        if not (self.place / "HEAD").is_file():
            self.place.mkdir(parents=True, exist_ok=True)
            _git(["init", "--bare", "--quiet", str(self.place)], self.place.parent)
        wanted = self.branch or "HEAD"
        if wanted.startswith("-"):
            raise SourceFailed(f"{wanted} is no name of a branch")
        _git(["fetch", "--depth=1", "--no-tags", "--quiet", "--", address, wanted], self.place, _FETCH_S)
        commit = _git(["rev-parse", "FETCH_HEAD"], self.place).decode().strip()
        if not _COMMIT.fullmatch(commit):
            raise SourceFailed(f"{self.address} has no commit")
        _git(["update-ref", "refs/paddock/newest", commit], self.place)
        return commit


@dataclass(frozen=True)
class BlobItem:
    """One file of a commit. Its uri stays the same over commits, its stamp is git's hash of its bytes."""

    repository: Repository
    commit: str
    path: str
    blob: str
    n_bytes: int

    @property
    def uri(self) -> str:
        """The repository's address and the path in it."""
        return f"{self.repository.address}#{self.path}"

    @property
    def stamp(self) -> str:
        """Git's own hash of its bytes."""
        return self.blob

    def sha256(self) -> str:
        """Of its bytes. Raises DocumentRefused."""
        return hashlib.sha256(self._bytes()).hexdigest()

    def read(self) -> Document:
        """The file as text. Raises DocumentRefused."""
        data = self._bytes()
        found = self.repository.read(self.path.rpartition("/")[2], data)
        link = self.repository.link(self.commit, self.path)
        meta = {"stamp": self.blob, "name": self.path, "commit": self.commit, "link": link}
        digest = hashlib.sha256(data).hexdigest()
        return Document(self.uri, found.title or self.path, found.text, found.kind, digest, found.pages, meta)

    def _bytes(self) -> bytes:
        if self.n_bytes > MAX_BYTES:
            raise DocumentRefused(f"has {self.n_bytes / 1e6:,.1f} MB, and {MAX_BYTES / 1e6:,.0f} MB are the most")
        try:
            return _git(["cat-file", "blob", self.blob], self.repository.place)
        except SourceFailed as why:
            raise DocumentRefused(f"cannot be read from the repository: {why.message}") from why


def _checked(address: str, *, is_networked: bool) -> str:
    """The address as git may have it. Raises SourceFailed: no other protocol runs what the address says."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        if parts.username or parts.password:
            raise SourceFailed("an address with a name or password in it would be kept and shown: leave them out")
        if not is_networked:
            raise SourceFailed("fetching is turned off here: start with --network true")
        return address
    folder = Path(address).expanduser()
    if parts.scheme or not folder.is_dir():
        raise SourceFailed(f"{address} is no https address and no folder: give one of the two")
    return str(folder.absolute())


def _listed(place: Path, commit: str) -> Iterator[tuple[str, str, int]]:
    """(path, hash, bytes) of each plain file of a commit; links and modules are left out."""
    for line in _git(["ls-tree", "-r", "-z", "--long", "--full-tree", commit], place).split(b"\0"):
        told, _, path = line.partition(b"\t")
        words = told.split()
        if len(words) == 4 and words[0] in {b"100644", b"100755"} and words[3].isdigit():
            yield path.decode("utf-8", "replace"), words[2].decode(), int(words[3])


def _git(words: list[str], place: Path, timeout_s: float = _ASK_S) -> bytes:
    """What git answers. It asks nobody, runs no hook, reads no settings but its own. Raises SourceFailed."""
    safe = ["-c", "core.hooksPath=/dev/null", "-c", "credential.helper=", "-c", "protocol.allow=never"]
    safe += ["-c", "protocol.https.allow=always", "-c", "protocol.file.allow=always", "-c", "core.fsmonitor=false"]
    safe += ["-c", "http.followRedirects=false", "-c", "safe.directory=*"]
    surroundings = {
        **{name: value for name, value in os.environ.items() if name in {"PATH", "HOME", "SSL_CERT_FILE"}},
        **{"GIT_TERMINAL_PROMPT": "0", "GIT_CONFIG_NOSYSTEM": "1", "GIT_CONFIG_GLOBAL": "/dev/null", "LC_ALL": "C"},
    }
    try:
        done = subprocess.run(  # noqa: S603 - words are checked above, and no shell reads them
            ["git", *safe, *words],  # noqa: S607
            cwd=place,
            env=surroundings,
            capture_output=True,
            timeout=timeout_s,
            check=False,
        )
    except FileNotFoundError as why:
        raise SourceFailed("git is not installed here: install it to read repositories") from why
    except subprocess.TimeoutExpired as why:
        raise SourceFailed(f"git did not come to an end within {timeout_s:.0f} s: try again later") from why
    if done.returncode:
        lines = done.stderr.decode("utf-8", "replace").strip().splitlines()
        raise SourceFailed(f"git could not read it: {lines[-1][:300] if lines else f'status {done.returncode}'}")
    return done.stdout
