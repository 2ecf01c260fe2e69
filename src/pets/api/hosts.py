"""The host names of this service. Requests to any other host are refused."""

import re
from typing import Final

from pets.api.answer import Answer
from pets.api.problems import problem_for
from pets.asgi import Scope, header_values

MISDIRECTED: Final = "This service does not have the name in `Host`."

_END: Final = re.compile(rb"\.?(:[0-9]*)?$")
"""What may follow a name: the dot of an absolute one (RFC 3986, 3.2.2), and the port."""


class KnownHosts:
    """Refuses requests to other hosts with 421 (RFC 9110, 7.4).

    The port does not count, and neither does a dot at the end of a name. The health checks answer
    to any name, because probes use addresses.
    """

    def __init__(self, hosts: frozenset[str]) -> None:
        self._hosts = {host.removesuffix(".").encode() for host in hosts}

    def refusal(self, scope: Scope) -> Answer | None:
        """Return the answer to a request to another host, or None for a request to this one."""
        if scope["path"].startswith("/health/"):
            return None
        sent = header_values(scope, b"host")  # HTTP/1.0 may have none.
        if sent and (sent[0] in self._hosts or _END.sub(b"", sent[0], 1).lower() in self._hosts):
            return None
        return problem_for(scope, 421, MISDIRECTED)
