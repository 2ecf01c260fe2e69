"""`pets serve` as a real process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

COMMAND = [sys.executable, "-m", "pets"]


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def wait_for_line(self, part: str) -> str:
        """Return the next line of the process's log that has this part."""
        assert self.process.stderr
        for line in self.process.stderr:
            if part in line:
                return line
        raise AssertionError(f"the process ended without saying {part!r}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal and return the process's status."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)


def start(*arguments: str, database_url: str) -> subprocess.Popen[str]:
    environment = os.environ | {"PETS_DATABASE_URL": database_url}
    return subprocess.Popen(
        [*COMMAND, *arguments], env=environment, stderr=subprocess.PIPE, text=True
    )


@contextmanager
def served(database_url: str, *, workers: int = 1) -> Iterator[Served]:
    with start(
        "serve", "--port", "0", "--workers", str(workers), database_url=database_url
    ) as process:
        try:
            service = Served(process, 0)
            found = re.search(r"http://127\.0\.0\.1:(\d+)", service.wait_for_line("Listening on"))
            assert found
            service.port = int(found[1])
            for _ in range(workers):
                service.wait_for_line("startup complete")
            yield service
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate()
