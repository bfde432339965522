"""Tell systemd how this process fares: the sd_notify(3) datagram, nothing when not under systemd."""

from __future__ import annotations

import os
import socket


def notify(state: str) -> bool:
    """Send one state line such as "READY=1" to $NOTIFY_SOCKET; whether one was sent.

    The protocol is a datagram to an AF_UNIX address, where a leading "@" stands for the abstract namespace
    (sd_notify(3)). A manager that went away is no reason to stop serving, so a failed send is only reported.
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return False
    if address.startswith("@"):
        address = "\0" + address[1:]
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sock:
            sock.connect(address)
            sock.sendall(state.encode())
    except OSError:
        return False
    return True
