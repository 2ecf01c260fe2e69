"""The names of this service: requests to any other are refused."""

import re
from typing import Any, Final

from pets.api.http.problems import instance_of, problem, problem_answer
from pets.api.http.request import headers

MISDIRECTED: Final = "This service does not have the name in `Host`."

_PORT: Final = re.compile(rb":[0-9]*$")


class KnownHosts:
    """An ASGI application that refuses requests to other hosts with 421 (RFC 9110, 7.4).

    The port does not count. The health checks answer to any name, because probes use addresses.
    """

    # Any, here and below: Litestar and uvicorn type ASGI applications differently.
    def __init__(self, app: Any, hosts: frozenset[str]) -> None:
        self._app = app
        self._hosts = {host.encode() for host in hosts}

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:  # Any: see above.
        app = self._app
        if scope["type"] == "http" and not self._is_for_us(scope):
            app = problem_answer(problem(421, MISDIRECTED, instance_of(scope["raw_path"])))
        await app(scope, receive, send)

    def _is_for_us(self, scope: Any) -> bool:  # Any: see above.
        if scope["path"].startswith("/health/"):
            return True
        sent = headers(scope, b"host")  # HTTP/1.0 may have none.
        return bool(sent) and _PORT.sub(b"", sent[0]).lower() in self._hosts
