"""The sockets that a service listens on."""

import socket

import pytest

from pets.serving.listening import address_of, listen


@pytest.mark.parametrize("client", ["127.0.0.1", "::1"])
def test_every_address_of_ipv6_is_every_one_of_ipv4_too(client: str) -> None:
    with listen("::", 0, 10) as listener:
        port = listener.getsockname()[1]
        assert address_of(listener) == f"http://[::]:{port}"
        with socket.create_connection((client, port), 10):
            listener.accept()[0].close()


def test_one_address_is_no_other() -> None:
    with listen("::1", 0, 10) as listener:
        port = listener.getsockname()[1]
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.1", port), 10)
