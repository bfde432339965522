"""The files of a git repository at one commit: a copy without a working tree, so that nothing of it is ever run."""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import quote, urlsplit

from rag.documents import Document
from rag.errors import DocumentRefused, SourceFailed, SourceStopped
from rag.extract.decode import NotText, decode
from rag.sources import Fetch, Items, Read, Readable
from rag.sources.folder import MAX_FILES, is_hidden, is_wanted

MAX_BYTES = 5_000_000  # of one file
_FETCH_S = 600
_ASK_S = 60
_LOOK_S = 0.2  # between two looks whether the run shall stop
MAX_FETCHED = 1_000_000_000  # bytes of one fetch
_NEWEST = "refs/paddock/newest"
_SAFE = [
    word
    for setting in (
        *("core.hooksPath=/dev/null", "credential.helper=", "core.fsmonitor=false", "safe.directory=*"),
        # Within its host, as from a name to the same with .git: the tunnel leads to no other.
        *("http.followRedirects=initial", "gc.auto=0", "maintenance.auto=false", "fetch.unpackLimit=1"),
        *("core.bigFileThreshold=5m", "pack.threads=1", "pack.windowMemory=64m"),
    )
    for word in ("-c", setting)
]
_PASSED = ("PATH", "SSL_CERT_FILE", "GIT_SSL_CAINFO")
# Of the environment, since what git starts in another repository does not hear of the settings above.
_SAFE_SURROUNDINGS = {
    "GIT_CONFIG_GLOBAL": os.devnull,
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_NO_LAZY_FETCH": "1",
    "GIT_TERMINAL_PROMPT": "0",
    "LC_ALL": "C",
}
_NO_SUCH_REF = 2  # how git ls-remote ends then
_COMMIT = re.compile(r"[0-9a-f]{40,64}")
_SHA256_CHARS = 64
_PLAIN = ("code", "markdown", "text")  # kinds whose text is the file as it is, but for what stands before it
# How the sites where most repositories are link to a file at a commit.
_BLOB = {"gitlab.com": "/-/blob/", "codeberg.org": "/src/commit/", "bitbucket.org": "/src/"}


class _GitFailed(SourceFailed):
    """Git ended with a status other than 0."""

    def __init__(self, message: str, exit_status: int) -> None:
        super().__init__(message)
        self.exit_status = exit_status


@dataclass(frozen=True)
class Repository:
    """A repository: an https address, or a folder of this machine. place: the folder of its copy.

    branch: empty for the one that the repository calls its own. fetch: the way to the net, None where there is none.
    """

    address: str
    place: Path
    read: Read
    branch: str = ""
    only: Sequence[str] = ()
    fetch: Fetch | None = None
    is_cancelled: Callable[[], bool] = lambda: False

    def items(self) -> Items:
        """The files of the newest commit. Raises SourceFailed, SourceStopped."""
        commit = self._fetched()
        found = [
            each for each in _listed(self.place, commit) if not is_hidden(each[0]) and is_wanted(each[0], self.only)
        ]
        if len(found) > MAX_FILES:
            raise SourceFailed(
                f"{self.address} has {len(found):,} documents, and {MAX_FILES:,} are the most: give patterns"
            )
        return Items((BlobItem(self, commit, *each) for each in found), len(found))

    def link(self, commit: str, path: str, line: int = 0) -> str:
        """Where a person sees a file of a commit; a file's address where the repository is a folder."""
        parts = urlsplit(self.address)
        if parts.scheme != "https":
            return (Path(self.address).expanduser().absolute() / path).as_uri()
        base = self.address.removesuffix("/").removesuffix(".git")
        blob, at = _BLOB.get(parts.hostname or "", "/blob/"), f"#L{line}" if line else ""
        return f"{base}{blob}{commit}/{quote(os.fsencode(path))}{at}"

    def _fetched(self) -> str:
        """Bring the copy up to date; the commit."""
        address = checked(self.address)
        wanted = self.branch or "HEAD"
        if wanted.startswith("-"):
            raise SourceFailed(f"{wanted} is no name of a branch")
        with self._way(address) as way:
            self._prepare()
            words = [*way, "fetch", "--depth=1", "--no-tags", "--quiet", "--", address, wanted]
            try:
                self._ask(words, _FETCH_S)
            except _GitFailed:
                has = self._object_format([*way, "ls-remote", "--exit-code", "--quiet", "--", address, wanted])
                if has == _git(["rev-parse", "--show-object-format"], self.place).decode().strip():
                    raise
                shutil.rmtree(self.place, ignore_errors=True)  # a copy has the hashes of its repository
                self._prepare(has)
                self._ask(words, _FETCH_S)
        commit = _git(["rev-parse", "FETCH_HEAD^{commit}"], self.place).decode().strip()
        if not _COMMIT.fullmatch(commit):
            raise SourceFailed(f"{self.address} has no commit")
        old = _git(["for-each-ref", "--format=%(objectname)", _NEWEST], self.place).decode().strip()
        _git(["update-ref", _NEWEST, commit], self.place)
        if old not in {"", commit}:
            # Of the old commit nothing is asked again.
            _git(["gc", "--quiet", "--prune=now"], self.place, _FETCH_S, self.is_cancelled)
        return commit

    def _ask(self, words: list[str], timeout_s: float) -> bytes:
        """What the repository answers, by the one way that its address is. Raises SourceFailed, SourceStopped."""
        protocol = "https" if "://" in self.address else "file"
        return _git(words, self.place, timeout_s, self.is_cancelled, protocol)

    def _object_format(self, asks: list[str]) -> str:
        """Which hashes the repository has, as far as it answers. Raises SourceFailed for no such branch in it."""
        try:
            told = self._ask(asks, _ASK_S)
            return "sha256" if len(told.split()[0]) == _SHA256_CHARS else "sha1"
        except _GitFailed as why:
            if why.exit_status == _NO_SUCH_REF and self.branch:
                said = f"{self.address} has no branch or tag {self.branch}: give one that it has"
                raise SourceFailed(said) from why
            if why.exit_status == _NO_SUCH_REF:
                said = (
                    f"{self.address} has no commit yet, or none on its own branch: commit something, or name a branch"
                )
                raise SourceFailed(said) from why
            raise

    @contextmanager
    def _way(self, address: str) -> Iterator[list[str]]:
        """What leads git to an address of the web: a tunnel to its checked host, and to nowhere else."""
        if "://" not in address:
            yield []
            return
        if self.fetch is None:
            raise SourceFailed("fetching is turned off here: start with --network true")
        with self.fetch.tunnel(address, MAX_FETCHED) as proxy:
            yield ["-c", f"http.proxy={proxy}"]

    def _prepare(self, object_format: str = "") -> None:
        """A folder for the copy, without the locks of a run that was killed: nobody else uses it."""
        try:
            self.place.mkdir(mode=0o700, parents=True, exist_ok=True)
            for lock in self.place.rglob("*.lock"):
                lock.unlink()
        except OSError as why:
            raise SourceFailed(f"{self.place}, where the copy lies, cannot be written: {why.strerror}") from why
        if not (self.place / "HEAD").is_file():
            chosen = [f"--object-format={object_format}"] if object_format else []
            _git(["init", "--bare", "--quiet", *chosen, str(self.place)], self.place.parent)


@dataclass(frozen=True)
class BlobItem:
    """One file of a commit. Its uri stays the same over commits, its stamp is git's hash of its bytes."""

    repository: Repository
    commit: str
    path: str
    blob: str
    n_bytes: int
    _kept: list[bytes] = field(default_factory=list, compare=False)

    @property
    def uri(self) -> str:
        """The repository's address and the path in it."""
        return f"{self.repository.address}#{self.name}"

    @property
    def name(self) -> str:
        """The path as it is shown: bytes that are no text are spelled out, so that no two files have one name."""
        return os.fsencode(self.path).decode("utf-8", "backslashreplace")

    @property
    def stamp(self) -> str:
        """Git's own hash of its bytes."""
        return self.blob

    def sha256(self) -> str:
        """Of its bytes. Raises DocumentRefused, SourceFailed."""
        self._kept[:] = [self._bytes()]
        return hashlib.sha256(self._kept[0]).hexdigest()

    def read(self) -> Document:
        """The file as text. Raises DocumentRefused, SourceFailed."""
        data = self._kept.pop() if self._kept else self._bytes()
        found = self.repository.read(self.name.rpartition("/")[2], data)
        link = self.repository.link(self.commit, self.path)
        meta = {"stamp": self.blob, "name": self.name, "commit": self.commit, "link": link}
        if line := _first_line(data, found):
            meta["first_line"] = str(line)
        digest = hashlib.sha256(data).hexdigest()
        return Document(self.uri, found.title or self.name, found.text, found.kind, digest, found.pages, meta)

    def _bytes(self) -> bytes:
        if self.n_bytes > MAX_BYTES:
            raise DocumentRefused(f"has {self.n_bytes / 1e6:,.1f} MB, and {MAX_BYTES / 1e6:,.0f} MB are the most")
        return _git(["cat-file", "blob", self.blob], self.repository.place)


def _first_line(data: bytes, found: Readable) -> int:
    """The line of the file at which its text begins; 0 for a text that is not the file as it is."""
    if found.kind not in _PLAIN:
        return 0
    try:
        whole = decode(data)
    except NotText:
        return 0
    at = whole.find(found.text)
    return 1 + whole.count("\n", 0, at) if at >= 0 else 0


def checked(address: str) -> str:
    """The address as git may have it. Raises SourceFailed: no other protocol runs what the address says."""
    parts = urlsplit(address)
    if parts.scheme == "https" and parts.hostname:
        if parts.username or parts.password:
            raise SourceFailed("an address with a name or password in it would be kept and shown: leave them out")
        if re.search(r"[\x00-\x20\x7f\\]", address):
            raise SourceFailed(f"{address} is not one word without a backslash: a space is spelled %20 in an address")
        return address
    folder = Path(address).expanduser()
    if parts.scheme or not folder.is_absolute() or not folder.is_dir():
        raise SourceFailed(f"{address} is no https address and no folder: give one of the two")
    if not _is_repository(folder):
        root = next((str(each) for each in folder.parents if _is_repository(each)), "")
        inside = f"it lies in {root}: give that, and patterns such as {folder.name}/* for a part of it"
        advice = inside if root else "add it as a folder"
        raise SourceFailed(f"{folder} is a folder and no git repository: {advice}")
    return str(folder)


def _is_repository(folder: Path) -> bool:
    return (folder / ".git").exists() or (folder / "HEAD").is_file()


def _listed(place: Path, commit: str) -> Iterator[tuple[str, str, int]]:
    """(path, hash, bytes) of each plain file of a commit; links and modules are left out. A path has any
    bytes, as those of the disk have (os.fsdecode)."""
    for line in _git(["ls-tree", "-r", "-z", "--long", "--full-tree", commit], place).split(b"\0"):
        told, _, path = line.partition(b"\t")
        words = told.split()
        if len(words) == 4 and words[0] in {b"100644", b"100755"} and words[3].isdigit():
            yield path.decode("utf-8", "surrogateescape"), words[2].decode(), int(words[3])


def _git(
    words: list[str],
    place: Path,
    timeout_s: float = _ASK_S,
    is_cancelled: Callable[[], bool] = lambda: False,
    protocol: str = "none",
) -> bytes:
    """What git answers. It asks nobody but by this protocol, runs no hook, reads no settings but its own.

    Raises SourceFailed, SourceStopped.
    """
    passed = {name: value for name, value in os.environ.items() if name in _PASSED}
    its_own = {"GIT_ALLOW_PROTOCOL": protocol, "HOME": str(place)}  # where there is no .netrc with a password
    try:
        with tempfile.TemporaryFile() as out, tempfile.TemporaryFile() as err:
            process = subprocess.Popen(  # noqa: S603 - words are checked above, and no shell reads them
                ["git", *_SAFE, *words],  # noqa: S607
                cwd=place,
                env={**passed, **_SAFE_SURROUNDINGS, **its_own},
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
            )
            try:
                _await(process, timeout_s, is_cancelled)
            finally:
                process.kill()
                process.wait()
            out.seek(0)
            err.seek(0)
            said, complaint = out.read(), err.read(100_000)
    except FileNotFoundError as why:
        raise SourceFailed("git is not installed here: install it to read repositories") from why
    except OSError as why:
        raise SourceFailed(f"git cannot be run: {why.strerror}") from why
    if process.returncode:
        raise _GitFailed(f"git could not read it: {_cause(complaint) or process.returncode}", process.returncode)
    return said


def _cause(complaint: bytes) -> str:
    """The line in which git says why it ends: the first of those that it calls fatal, behind which it gives advice."""
    lines = complaint.decode("utf-8", "replace").strip().splitlines()
    fatal = [line.removeprefix("fatal: ") for line in lines if line.startswith("fatal: ")]
    return (fatal or lines[-1:] or [""])[0][:300]


def _await(process: subprocess.Popen[bytes], timeout_s: float, is_cancelled: Callable[[], bool]) -> None:
    """Wait for its end. Raises SourceFailed after the time, SourceStopped on demand."""
    end = time.monotonic() + timeout_s
    while time.monotonic() < end:
        with suppress(subprocess.TimeoutExpired):
            process.wait(_LOOK_S)
            return
        if is_cancelled():
            raise SourceStopped("stopped")
    raise SourceFailed(f"git did not come to an end within {timeout_s:.0f} s: try again later")
