"""Additions to prometheus-client: counting in several processes, and many observations at once.

Each process counts in its own files. The process that shows the numbers adds the files up.
"""

import os
from bisect import bisect_left
from collections import Counter as Frequencies
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from prometheus_client import Counter, Gauge, Histogram, values
from prometheus_client.mmap_dict import MmapedDict

FOLDER: Final = "PROMETHEUS_MULTIPROC_DIR"
"""The variable of prometheus-client that names the folder of the files."""

_KINDS: Final = ("counter", "histogram", "gauge_livesum", "gauge_max")

Read = Callable[[], float]

# Without this the package would keep a list of all metrics, which is not needed, because only the
# files are read. Any: each kind of metric has other options.
_UNLISTED: Final[dict[str, Any]] = {"registry": None}


def use_files_of(process: str) -> None:
    """Let this process count in the files of this name. It continues the numbers that they hold."""
    folder = Path(os.environ[FOLDER])
    for kind in _KINDS:
        # The package would create an empty file, and another process could not read it.
        file = folder / f"{kind}_{process}.db"
        if not file.exists():
            part = file.with_suffix(".part")
            MmapedDict(part).close()  # type: ignore[no-untyped-call]  # It has no types.
            part.rename(file)
    values.ValueClass = values.MultiProcessValue(lambda: process)  # type: ignore[no-untyped-call]  # The same.


def counter(name: str, description: str, *labels: str) -> Counter:
    return Counter(name, description, labels, **_UNLISTED)


def histogram(name: str, description: str, buckets: Sequence[float], *labels: str) -> Histogram:
    return Histogram(name, description, labels, buckets=buckets, **_UNLISTED)


def gauge(name: str, description: str) -> Gauge:
    """Return a number that is added up over all running processes."""
    return Gauge(name, description, multiprocess_mode="livesum", **_UNLISTED)


def facts(name: str, description: str, **labels: str) -> None:
    """Show labels. The number beside them is always 1."""
    shown = Gauge(name, description, labels, multiprocess_mode="max", **_UNLISTED)
    shown.labels(*labels.values()).set(1)


def observe_all(observed: Histogram, found: Sequence[float]) -> None:
    """Observe many values. The package observes one at a time, which takes 5 µs for each."""
    bounds = observed._upper_bounds  # noqa: SLF001  # It has no public name.
    for bucket, number in Frequencies(bisect_left(bounds, value) for value in found).items():
        observed._buckets[bucket].inc(number)  # noqa: SLF001  # The same.
    observed._sum.inc(sum(found))  # noqa: SLF001  # The same.


class Total:
    """A counter of a number that only grows while this process runs."""

    def __init__(self, followed: Counter, read: Read) -> None:
        self._counter = followed
        self._read = read
        self._last = 0.0

    def update(self) -> None:
        now = self._read()
        self._counter.inc(now - self._last)
        self._last = now
