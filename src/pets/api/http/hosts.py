"""The names of this service: requests to any other are refused."""

import re
from typing import Any, Final

from pets.api.http.answer import Answer
from pets.api.http.problems import instance_of, problem, problem_answer
from pets.api.http.request import headers

MISDIRECTED: Final = "This service does not have the name in `Host`."

_PORT: Final = re.compile(rb":[0-9]*$")


class KnownHosts:
    """Refuses requests to other hosts with 421 (RFC 9110, 7.4).

    The port does not count. The health checks answer to any name, because probes use addresses.
    """

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = {host.encode() for host in hosts}

    # Any, here and below: Litestar and uvicorn type scopes differently.
    def refusal(self, scope: Any) -> Answer | None:
        """Return the answer to a request to another host."""
        if scope["path"].startswith("/health/"):
            return None
        sent = headers(scope, b"host")  # HTTP/1.0 may have none.
        if sent and (sent[0] in self._hosts or _PORT.sub(b"", sent[0]).lower() in self._hosts):
            return None
        return problem_answer(problem(421, MISDIRECTED, instance_of(scope["raw_path"])))
