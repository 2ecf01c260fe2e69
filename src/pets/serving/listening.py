"""The sockets that a service listens on."""

import socket

from pets.serving.errors import CannotServe


def listen(host: str, port: int, backlog: int) -> socket.socket:
    """Listen there: at `::` for IPv4 too. Raises `CannotServe` if that is impossible."""
    is_six = ":" in host
    family = socket.AF_INET6 if is_six else socket.AF_INET
    is_dual = is_six and socket.has_dualstack_ipv6()
    try:
        return socket.create_server(
            (host, port), family=family, backlog=backlog, dualstack_ipv6=is_dual
        )
    except (OSError, UnicodeError) as error:  # UnicodeError: no host can have such a name.
        reason = error.strerror if isinstance(error, OSError) else "this is not the name of a host"
        raise CannotServe(f"cannot listen on {host}, port {port}: {reason}") from error


def address_of(listener: socket.socket) -> str:
    """Return the URL of what listens."""
    host, port = listener.getsockname()[:2]
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"
