"""The process that shows the metrics to Prometheus, at the path `/metrics`.

It is a process of its own, so that a busy worker delays nobody who looks.
"""

from collections.abc import Iterable
from multiprocessing.connection import wait
from socket import socket
from threading import Thread
from typing import Any, Final
from wsgiref.simple_server import WSGIRequestHandler
from wsgiref.types import StartResponse, WSGIApplication, WSGIEnvironment

from prometheus_client import CollectorRegistry
from prometheus_client.exposition import ThreadingWSGIServer, make_wsgi_app

_CLIENT_SECONDS: Final = 10


class _Handler(WSGIRequestHandler):
    timeout = _CLIENT_SECONDS

    def log_message(self, format: str, *args: Any) -> None:  # noqa: A002  # Any: as its base has it.
        pass


def export_metrics(listener: socket, counted: CollectorRegistry, end_of_work: int) -> None:
    """Serve until the end of this file."""
    host, port = listener.getsockname()[:2]
    server = ThreadingWSGIServer((host, port), _Handler, bind_and_activate=False)
    server.socket.close()
    server.socket = listener
    server.server_name, server.server_port = host, port
    server.setup_environ()
    server.set_app(_only_metrics(make_wsgi_app(counted)))
    Thread(target=server.serve_forever, daemon=True).start()
    wait([end_of_work])


def _only_metrics(metrics: WSGIApplication) -> WSGIApplication:
    def answer(environ: WSGIEnvironment, start: StartResponse) -> Iterable[bytes]:
        if environ["PATH_INFO"] == "/metrics":
            return metrics(environ, start)
        start("404 Not Found", [("Content-Type", "text/plain")])
        return [b"The metrics are at /metrics.\n"]

    return answer
