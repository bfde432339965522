"""Ask the Hugging Face hub what a file is, and stream it. Knows no folder here; says the hub's errors in our words."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from http import HTTPStatus
from typing import BinaryIO

import httpx2
from huggingface_hub import HfApi, get_hf_file_metadata, hf_hub_url
from huggingface_hub.constants import MAX_HTTP_DOWNLOAD_SIZE
from huggingface_hub.errors import (
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    OfflineModeIsEnabled,
    RemoteEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from huggingface_hub.file_download import http_get

from llmserver.errors import DownloadError

DEFAULT_ENDPOINT = "https://huggingface.co"
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True)
class HubFile:
    """What the hub says of one file, at the one commit that will be downloaded."""

    repo: str
    file: str
    revision: str
    """The commit."""
    url: str
    size_bytes: int
    sha256: str
    """Empty for a file that the hub does not keep in LFS."""


def endpoint() -> str:
    """Return the hub's address: HF_ENDPOINT, else huggingface.co."""
    return (os.environ.get("HF_ENDPOINT") or DEFAULT_ENDPOINT).rstrip("/")


def hub_in_reach(timeout_s: float = 3) -> bool:
    """Say within the timeout whether the hub answers. A slow name lookup counts as no."""
    answers: list[bool] = []
    thread = threading.Thread(target=lambda: answers.append(_answers(timeout_s)), daemon=True)
    thread.start()
    thread.join(timeout_s)
    return answers == [True]


def _answers(timeout_s: float) -> bool:
    try:
        return httpx2.head(endpoint(), timeout=timeout_s, follow_redirects=True).is_success
    except (httpx2.HTTPError, httpx2.InvalidURL):
        return False


def describe(repo: str, file: str, revision: str = "") -> HubFile:
    """Return size, checksum and address of a file; DownloadError if there is none, with the GGUF files there are."""
    with _plain_errors(repo):
        url = hf_hub_url(repo, file, revision=revision or None, endpoint=endpoint())
        try:
            found = get_hf_file_metadata(url, token=_token(), endpoint=endpoint())
        except RemoteEntryNotFoundError as why:
            raise DownloadError(f"{repo} has no file {file}. {_others(repo, revision)}") from why
    if found.size is None or found.commit_hash is None:
        raise DownloadError(f"{endpoint()} answers, but not like a model hub: check HF_ENDPOINT and the proxy")
    return HubFile(
        repo=repo,
        file=file,
        revision=found.commit_hash,
        url=hf_hub_url(repo, file, revision=found.commit_hash, endpoint=endpoint()),
        size_bytes=found.size,
        sha256=found.etag if found.etag and _SHA256.fullmatch(found.etag) else "",
    )


def fetch(source: HubFile, part: BinaryIO, n_there: int) -> None:
    """Append what is missing to the part, of which n_there bytes are there; shows a bar where stderr is a terminal."""
    if source.size_bytes > MAX_HTTP_DOWNLOAD_SIZE:
        raise DownloadError(f"{source.file} has {source.size_bytes / 1e9:.0f} GB: the hub gives out 50 GB in one piece")
    with _plain_errors(source.repo):
        http_get(
            source.url,
            part,
            resume_size=n_there,
            headers=_headers(),
            expected_size=source.size_bytes,
            displayed_filename=source.file.rsplit("/", 1)[-1],
        )


def _token() -> str | bool:
    """Return the token of the environment; False keeps the library from looking for one in the home folder.

    It goes into one header and nowhere else: no message names it.
    """
    token = os.environ.get("HF_TOKEN", "").strip()
    if not (token.isascii() and token.isprintable()):
        raise DownloadError("HF_TOKEN holds characters that no token has: copy the token again")
    return token or False


def _headers() -> dict[str, str]:
    """Return the headers of a download. The client drops the token where the hub sends it on to another host."""
    token = _token()
    return {"accept-encoding": "identity"} | ({"authorization": f"Bearer {token}"} if token else {})


def _others(repo: str, revision: str) -> str:
    """Return a sentence with the GGUF files of the repository."""
    names = HfApi(endpoint=endpoint()).list_repo_files(repo, revision=revision or None, token=_token())
    ggufs = sorted(name for name in names if name.endswith(".gguf"))
    return f"It has: {', '.join(ggufs)}" if ggufs else "It has no .gguf file at all"


@contextmanager
def _plain_errors(repo: str) -> Iterator[None]:
    """Say in one line what went wrong and what helps."""
    try:
        yield
    except HfHubHTTPError as why:
        raise DownloadError(_refusal(why, repo)) from why
    except HFValidationError as why:
        raise DownloadError(f"{repo!r} is not a repository name: write owner/repo:file.gguf") from why
    except OfflineModeIsEnabled as why:
        raise DownloadError("HF_HUB_OFFLINE is set: unset it to download") from why
    except (httpx2.InvalidURL, httpx2.UnsupportedProtocol) as why:
        raise DownloadError(f"HF_ENDPOINT is not an http address: {endpoint()}") from why
    except httpx2.HTTPError as why:
        reason = type(why).__name__
        raise DownloadError(f"no connection to {endpoint()} ({reason}): check the network, run it again") from why
    except OSError as why:
        if why.errno is not None:  # this disk, not the hub
            raise
        raise DownloadError(f"{repo} sent another length than it announced: run it again") from why


def _refusal(why: HfHubHTTPError, repo: str) -> str:
    """Return what the hub's answer means for the user."""
    if isinstance(why, GatedRepoError):
        return _gated(repo)
    if isinstance(why, RepositoryNotFoundError):
        return f"no repository {repo} at {endpoint()}; if it is private, set HF_TOKEN"
    if isinstance(why, RevisionNotFoundError):
        return f"{repo} no longer has the revision that the catalog names"
    status = why.response.status_code
    if status == HTTPStatus.UNAUTHORIZED and _token():
        return f"{endpoint()} does not know the token in HF_TOKEN: make a new one at {endpoint()}/settings/tokens"
    if status in (HTTPStatus.UNAUTHORIZED, HTTPStatus.FORBIDDEN) and str(why.response.url).startswith(endpoint()):
        return _gated(repo)
    return f"{endpoint()} answers with status {status} for {repo}: try again later"


def _gated(repo: str) -> str:
    """Return what opens a repository: the licence first, then a token that may read it."""
    page = f"{endpoint()}/{repo}"
    if _token():
        return (
            f"{repo} is gated and the token in HF_TOKEN does not open it: accept the licence at {page} with the "
            "account of that token, and let the token read gated repositories"
        )
    return (
        f"{repo} is gated: accept the licence at {page}, make a token at {endpoint()}/settings/tokens and set "
        "HF_TOKEN to it in the environment"
    )
