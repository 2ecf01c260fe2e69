"""Metrics for Prometheus. They are kept in files, so that they are right over several processes."""

import asyncio
import os
import platform
from bisect import bisect_left
from collections import Counter as Frequencies
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from importlib.metadata import version
from tempfile import TemporaryDirectory
from time import perf_counter
from typing import Final, Self

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, values
from prometheus_client.multiprocess import MultiProcessCollector, mark_process_dead

from pets.domain.errors import OutcomeUnknown, StoreUnavailable

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable of prometheus-client that names the folder of the files."""

SAMPLE_SECONDS: Final = 0.25
"""The time between two samples of what has no event of its own."""

SECONDS: Final = (0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1, 2.5, 5, 7.5, 10)
"""https://opentelemetry.io/docs/specs/semconv/http/http-metrics/"""

_LAG_SECONDS: Final = (0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5)
_ITEMS: Final = (1, 2, 4, 8, 16, 32, 64, 128, 256, 512, 1024)
_METHODS: Final = {"GET", "HEAD", "POST", "PATCH", "DELETE", "OPTIONS"}
_OTHER_METHOD: Final = "_OTHER"

Read = Callable[[], float]


def _use_files_of(process: str) -> None:
    values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]  # It has no types.


class ServiceMetrics:
    """What the parent of the workers counts, and the files of all.

    The files are in memory, if the system has a place for them, and end with this context.
    """

    def __init__(self) -> None:
        memory = "/dev/shm"  # noqa: S108  # The folder has a random name and is its owner's alone.
        place = memory if os.access(memory, os.W_OK) else None
        self._folder = TemporaryDirectory(prefix="pets-metrics-", dir=place)
        os.environ[FOLDER] = self._folder.name
        _use_files_of("parent")
        self._restarts = Counter(
            "pets_worker_restarts", "Workers that ended without being told to.", registry=None
        )
        build = Gauge(
            "pets_build_info",
            "The versions of the service and of Python.",
            ["version", "python"],
            multiprocess_mode="max",
            registry=None,
        )
        build.labels(version("pets"), platform.python_version()).set(1)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._folder.cleanup()

    def registry(self) -> CollectorRegistry:
        """Return what all processes have counted together."""
        registry = CollectorRegistry()
        MultiProcessCollector(registry)  # type: ignore[no-untyped-call]  # It has no types.
        return registry

    def count_end(self, slot: int, was_told: bool) -> None:  # noqa: FBT001  # The supervisor calls it.
        """Forget the gauges of a worker that has ended, and count it if it was not told to."""
        mark_process_dead(slot)  # type: ignore[no-untyped-call]  # The package has no type here.
        if not was_told:
            self._restarts.inc()


class _Total:
    """A counter that follows a number."""

    def __init__(self, counter: Counter, read: Read) -> None:
        self._counter = counter
        self._read = read
        self._last = 0.0

    def update(self) -> None:
        now = self._read()
        self._counter.inc(now - self._last)
        self._last = now


class Metrics:
    """What one worker counts.

    A worker that takes over the slot of another one goes on counting where that one ended. So
    there are never more files than workers at a time.
    """

    def __init__(self, slot: int) -> None:
        _use_files_of(str(slot))
        self._requests = _histogram(
            "http_server_request_duration_seconds",
            "How long requests took, from their head to the end of their answer.",
            SECONDS,
            "http_request_method",
            "http_route",
            "http_response_status_code",
        )
        self._seconds: dict[tuple[str, str, int], list[float]] = defaultdict(list)
        self._items = _histogram(
            "pets_store_batch_items",
            "How many pets, ids or queries a call of the store was about.",
            _ITEMS,
            "operation",
        )
        self._sizes: dict[str, list[float]] = defaultdict(list)
        self._errors = Counter(
            "pets_store_errors",
            "Calls of the store that failed.",
            ["operation", "kind"],
            registry=None,
        )
        self._running = 0  # calls of the store
        self._lag = _histogram(
            "pets_event_loop_lag_seconds", "How late the event loop was.", _LAG_SECONDS
        )
        self._gauges: list[tuple[Gauge, Read]] = []
        self._totals: list[_Total] = []

    def count_request(self, method: str, route: str, status: int, seconds: float) -> None:
        """Count a request. The route is a template, and "" if there is none.

        The next sample writes it down, together with others, because writing takes 5 µs.
        """
        if method not in _METHODS:  # A client can think of any number of methods.
            method = _OTHER_METHOD
        self._seconds[method, route, status].append(seconds)

    @contextmanager
    def count_call(self, operation: str, items: int) -> Iterator[None]:
        """Count a call of the store, and how it fails."""
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

    def sample(self, name: str, meaning: str, read: Read) -> None:
        """Read a number again and again. It is added up over all workers."""
        self._gauges.append((_gauge(name, meaning), read))

    def sample_total(self, name: str, meaning: str, read: Read) -> None:
        """The same for a number that only grows while this process lives."""
        self._totals.append(_Total(Counter(name, meaning, registry=None), read))

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
        for gauge, read in self._gauges:
            gauge.set(read())
        for total in self._totals:
            total.update()
        self._write_counts()

    def _write_counts(self) -> None:
        for (method, route, status), seconds in self._seconds.items():
            _observe_all(self._requests.labels(method, route, status or ""), seconds)
        for operation, sizes in self._sizes.items():
            _observe_all(self._items.labels(operation), sizes)
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


def _observe_all(histogram: Histogram, observed: Sequence[float]) -> None:
    # The package can only observe one value at a time, and takes 5 µs for each.
    bounds = histogram._upper_bounds  # noqa: SLF001
    for bucket, number in Frequencies(bisect_left(bounds, value) for value in observed).items():
        histogram._buckets[bucket].inc(number)  # noqa: SLF001
    histogram._sum.inc(sum(observed))  # noqa: SLF001


def _histogram(name: str, meaning: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
    return Histogram(name, meaning, labels, buckets=buckets, registry=None)


def _gauge(name: str, meaning: str) -> Gauge:
    return Gauge(name, meaning, multiprocess_mode="livesum", registry=None)
