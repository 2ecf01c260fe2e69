"""What systemd is told about a service with `Type=notify`."""

import os
import socket
from contextlib import suppress


def tell_systemd(state: str) -> None:
    """Send a state such as `READY=1` to the socket that `NOTIFY_SOCKET` names, if it does.

    https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html
    """
    address = os.environ.get("NOTIFY_SOCKET", "")
    if not address:
        return
    if address.startswith("@"):  # It is in the abstract namespace of Linux.
        address = f"\0{address[1:]}"
    with suppress(OSError), socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as sender:
        sender.sendto(state.encode(), address)
