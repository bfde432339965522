"""Devices of other machines through ggml's RPC backend: serve this machine's, or add another's. Needs GGML_RPC=ON.

The protocol (ggml-rpc.h) has no login and no encryption and trusts what it is sent: for loopback or a private network.
"""

from __future__ import annotations

import ctypes
import ipaddress
import logging
import os
import signal
import socket
import struct
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

from llmserver.errors import BadSettings
from llmserver.offload.devices import handles

log = logging.getLogger("llmserver")
_CONNECT_TIMEOUT_S, _HELLO_TIMEOUT_S = 3.0, 10.0
_MOST_FDS = 4096
_HELLO, _CAPABILITIES = 14, 24  # RPC_CMD_HELLO, the same in all versions, and RPC_CONN_CAPS_SIZE
_ADDED: set[str] = set()  # llama.cpp keeps its devices for the life of the process
_BUILD = "`./setup.sh --rpc --no-start` builds one that has it"


def add(servers: str) -> list[str]:
    """Make the devices of host:port,host:port ones of this process; those that answered. Raises BadSettings."""
    library, added = _library(), list[str]()
    for endpoint in filter(None, (part.strip() for part in servers.split(","))):
        if endpoint in _ADDED:
            continue
        host, port = _parse(endpoint)
        try:  # llama.cpp would end the process at one that does not answer, and wait without end for one that is silent
            _greet(host, port)
        except TimeoutError:
            log.warning(
                "worker %s takes connections and says nothing within %.0f s: it is stuck, or works for another; "
                "going on without it",
                endpoint,
                _HELLO_TIMEOUT_S,
            )
            continue
        except OSError as why:
            log.warning("worker %s does not answer (%s): going on without it", endpoint, why.strerror or why)
            continue
        registered = library.ggml_backend_rpc_add_server(endpoint.encode())
        if not registered:
            log.warning("worker %s speaks another version of the protocol: going on without it", endpoint)
            continue
        _ggml().ggml_backend_register(registered)
        _ADDED.add(endpoint)
        added.append(endpoint)
    return added


def limit_silence(timeout_s: int) -> None:
    """Let a worker that says nothing for so long count as dead: llama.cpp would wait for it for ever."""
    peers = {_parse(endpoint) for endpoint in _ADDED}
    limit = struct.pack("ll", timeout_s, 0)  # struct timeval
    for fd in range(_MOST_FDS) if peers else ():
        with suppress(OSError), socket.socket(fileno=os.dup(fd)) as sock:
            peer = sock.getpeername()  # a pair for IPv4, more for IPv6, a path for others
            if isinstance(peer, tuple) and any(peer[1] == port and peer[0] in _addresses(host) for host, port in peers):
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVTIMEO, limit)
                sock.setsockopt(socket.SOL_SOCKET, socket.SO_SNDTIMEO, limit)


def devices() -> Any:
    """All cards for llama_model_params.devices, ended by a null; None without workers: llama.cpp takes only its own."""
    if not _ADDED:
        return None
    own = handles()
    return (ctypes.c_void_p * (len(own) + 1))(*own)


def serve(host: str, port: int, n_threads: int) -> None:
    """Compute for others until a signal ends it. Raises BadSettings."""
    library = _library()
    _refuse_public(host)
    with socket.socket() as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError as why:
            raise BadSettings(f"cannot listen on {host}:{port}: {why.strerror}; choose another --port") from why
    own = handles()
    used = (ctypes.c_void_p * len(own))(*own)
    signal.signal(signal.SIGINT, signal.SIG_DFL)  # llama.cpp does not return, so Python would never hear of it
    sys.stderr.write(f"computing for others on {host}:{port}: no login, no encryption; Ctrl-C ends it\n")
    library.ggml_backend_rpc_start_server(f"{host}:{port}".encode(), None, n_threads, len(own), used)


def is_supported() -> bool:
    """Whether this build of llama.cpp has the backend."""
    return _find() is not None


def _refuse_public(host: str) -> None:
    try:
        address = ipaddress.ip_address("127.0.0.1" if host == "localhost" else host)
    except ValueError as why:
        raise BadSettings(f"{host} is no IP address: name the one of this machine's private network") from why
    if address.is_unspecified or not address.is_private:
        raise BadSettings(f"{host} is open to strangers, and the protocol has no login: name a private address")


def _parse(endpoint: str) -> tuple[str, int]:
    host, _, port = endpoint.rpartition(":")
    if not host or not port.isdigit() or not 0 < int(port) < 65_536:
        raise BadSettings(f"{endpoint!r} is no worker: write host:port, several with commas")
    return host, int(port)


def _greet(host: str, port: int) -> None:
    """Do as ggml's client does first (RPC_CMD_HELLO in ggml-rpc.cpp), to see whether somebody is there."""
    with socket.create_connection((host, port), _CONNECT_TIMEOUT_S) as sock:
        sock.settimeout(_HELLO_TIMEOUT_S)
        sock.sendall(bytes([_HELLO]) + _CAPABILITIES.to_bytes(8, "little") + bytes(_CAPABILITIES))
        if not sock.recv(1):
            raise OSError("it speaks another version of the protocol")


def _addresses(host: str) -> set[str]:
    with suppress(OSError):
        return {str(found[4][0]) for found in socket.getaddrinfo(host, None)}
    return set()


def _library() -> ctypes.CDLL:
    path = _find()
    if path is None:
        raise BadSettings(f"this build of llama.cpp has no RPC backend: {_BUILD}")
    _ggml()
    library, pointer, size = ctypes.CDLL(str(path)), ctypes.c_void_p, ctypes.c_size_t
    library.ggml_backend_rpc_add_server.restype = pointer
    library.ggml_backend_rpc_add_server.argtypes = [ctypes.c_char_p]
    library.ggml_backend_rpc_start_server.restype = None
    library.ggml_backend_rpc_start_server.argtypes = [ctypes.c_char_p, ctypes.c_char_p, size, size, pointer]
    return library


def _ggml() -> Any:
    from llama_cpp._ggml import libggml

    libggml.ggml_backend_register.argtypes = [ctypes.c_void_p]
    return libggml


def _find() -> Path | None:
    import llama_cpp

    folder = Path(llama_cpp.__file__).parent / "lib"
    return next((path for path in sorted(folder.glob("*ggml-rpc.*")) if path.suffix in {".so", ".dylib", ".dll"}), None)
