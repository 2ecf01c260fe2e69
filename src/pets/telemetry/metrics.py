"""Metrics for Prometheus, kept in files, so that those of all processes can be added up."""

import asyncio
import os
import platform
from collections import defaultdict
from collections.abc import Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final, Self

from prometheus_client import CollectorRegistry, Gauge, generate_latest
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from pets import __version__
from pets.domain.errors import OutcomeUnknown, StoreUnavailable
from pets.telemetry.prometheus_files import (
    FOLDER,
    Read,
    Total,
    counter,
    facts,
    gauge,
    histogram,
    observe_all,
    use_files_of,
)
from pets.telemetry.request_context import Observation

SAMPLE_SECONDS: Final = 0.25
"""The time between two samples of numbers that change without an event."""

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""https://opentelemetry.io/docs/specs/semconv/http/http-metrics/"""

_LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_METHODS: Final = {"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"}
_OTHER_METHOD: Final = "_OTHER"


class ServiceMetrics:
    """The metrics of the parent of the workers, and the files of all processes.

    The files are in memory if the system has a file system there. They are removed when this
    context ends.
    """

    def __init__(self) -> None:
        memory = "/dev/shm"  # noqa: S108  # The folder has a random name and is its owner's alone.
        place = memory if os.access(memory, os.W_OK) else None
        self._folder = TemporaryDirectory(prefix="pets-metrics-", dir=place)
        os.environ[FOLDER] = self._folder.name
        use_files_of("parent")
        self._restarts = counter(
            "pets_worker_restarts", "Workers that ended without being told to."
        )
        facts(
            "pets_build_info",
            "The versions of the service and of Python.",
            version=__version__,
            python=platform.python_version(),
        )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def read(self) -> bytes:
        """Return the metrics of all processes, added up, in the text format of Prometheus."""
        counted = CollectorRegistry()
        MultiProcessCollector(counted)  # type: ignore[no-untyped-call]  # It has no types.
        return generate_latest(counted)

    def count_end(self, slot: int, was_told: bool) -> None:  # noqa: FBT001  # The supervisor calls it.
        """Forget the gauges of a worker that has ended, and count it if it was not told to."""
        mark_process_dead(slot)  # type: ignore[no-untyped-call]  # The package has no type here.
        if not was_told:
            self._restarts.inc()


class Metrics:
    """The metrics of one worker.

    A worker that takes over the slot of another one goes on counting where that one ended. So
    there are never more files than workers at a time.
    """

    def __init__(self, slot: int) -> None:
        use_files_of(str(slot))
        self._requests = histogram(
            "http_server_request_duration_seconds",
            "How long requests took, from their head to the end of their answer.",
            SECONDS,
            "http_request_method",
            "http_route",
            "http_response_status_code",
        )
        self._seconds: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        self._items = histogram(
            "pets_store_batch_items",
            "How many pets, ids or queries a call of the store was about.",
            _ITEMS,
            "operation",
        )
        self._sizes: dict[str, list[float]] = defaultdict(list)
        self._errors = counter(
            "pets_store_errors", "Calls of the store that failed.", "operation", "kind"
        )
        self._running = 0  # calls of the store
        self._lag = histogram(
            "pets_event_loop_lag_seconds", "How late the event loop was.", _LAG_SECONDS
        )
        self._gauges: list[tuple[Gauge, Read]] = []
        self._totals: list[Total] = []

    def count_request(self, seen: Observation) -> None:
        """Count a request.

        The next sample writes all counted requests down together, because a write takes 5 µs.
        """
        method = seen.scope["method"]
        if method not in _METHODS:  # A client can invent any number of methods.
            method = _OTHER_METHOD
        self._seconds[method, seen.route, seen.status].append(seen.seconds)

    @contextmanager
    def count_call(self, operation: str, items: int) -> Iterator[None]:
        """Count a call of the store, and the kind of its error."""
        self._sizes[operation].append(items)
        self._running += 1
        try:
            yield
        except Exception as error:
            self._errors.labels(operation, _kind(error)).inc()
            raise
        finally:
            self._running -= 1

    def watch_connections(self, in_use: Read) -> None:
        """Sample how many connections to the database are in use, and how many calls lack one."""
        self.sample("pets_database_connections", "Connections in use.", in_use)
        self.sample(
            "pets_database_connection_waits",
            "Calls of the store that wait for a connection.",
            lambda: max(0, self._running - in_use()),
        )

    def sample(self, name: str, description: str, read: Read) -> None:
        """Show a number that is read for each sample. It is added up over all workers."""
        self._gauges.append((gauge(name, description), read))

    def sample_total(self, name: str, description: str, read: Read) -> None:
        """The same for a number that only grows while this process lives."""
        self._totals.append(Total(counter(name, description), read))

    async def keep_sampling(self) -> None:
        """Take samples until this is cancelled."""
        try:
            while True:
                self._take_sample()
                due = perf_counter() + SAMPLE_SECONDS
                await asyncio.sleep(SAMPLE_SECONDS)
                self._lag.observe(max(0.0, perf_counter() - due))
        finally:
            self._write_counts()

    def _take_sample(self) -> None:
        for number, read in self._gauges:
            number.set(read())
        for total in self._totals:
            total.update()
        self._write_counts()

    def _write_counts(self) -> None:
        for (method, route, status), seconds in self._seconds.items():
            observe_all(self._requests.labels(method, route, status or ""), seconds)
        for operation, sizes in self._sizes.items():
            observe_all(self._items.labels(operation), sizes)
        self._seconds.clear()
        self._sizes.clear()


def _kind(error: Exception) -> str:
    match error:
        case OutcomeUnknown():
            return "outcome_unknown"
        case StoreUnavailable():
            return "not_done"
        case _:
            return "bug"
