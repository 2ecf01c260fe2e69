"""A line in the log for each request."""

import logging

from pets.api.http.exchange import Observation
from pets.api.http.problems import instance_of

logger = logging.getLogger(__name__)


def log_request(seen: Observation) -> None:
    """Log a request: who asked for what, and how it was answered. The query is left out."""
    method = seen.scope["method"]
    path = instance_of(seen.scope["raw_path"])
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
