"""A line in the log for each request."""

import logging
from typing import Final

from pets.asgi import path_as_sent
from pets.telemetry.request_context import Observation

logger = logging.getLogger(__name__)

MAX_PATH_BYTES: Final = 1000
"""A byte takes up to three characters in the log."""


def log_request(seen: Observation) -> None:
    """Log a request: its client, its method and path, and the status of its answer.

    The query is left out, because it may contain somebody's name. A long path is cut off, because
    log collectors split long lines.
    """
    method = seen.scope["method"]
    path = path_as_sent(seen.scope["raw_path"].partition(b"?")[0][:MAX_PATH_BYTES])
    client = seen.scope["client"]
    facts = {
        "method": method,
        "path": path,
        "route": seen.route,
        "status": seen.status,
        "milliseconds": round(seen.seconds * 1000, 3),
        "client": client[0] if client else "",
    }
    logger.info("%s %s: %d", method, path, seen.status, extra={"facts": facts})
