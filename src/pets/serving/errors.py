"""The exceptions of this package."""

import logging

logger = logging.getLogger(__name__)


class Refusal(Exception):
    """A request that the server answers itself, or a body that can never be read.

    The application meets it if it waits for such a body: `receive` raises it.
    """

    def __init__(self, status: int, detail: str) -> None:
        """Take the status of the answer (RFC 9110, 15), and one sentence for the client."""
        super().__init__(detail)
        self.status = status
        self.detail = detail


def log_refusal(refusal: Refusal) -> None:
    """Log that a request is refused, in the task of this request, so that the line has its id."""
    logger.warning("Refused a request: %s", refusal.detail)


class CannotServe(Exception):
    """The service cannot begin. The message is one line that says why."""
