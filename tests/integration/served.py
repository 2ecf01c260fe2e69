"""The command `pets serve` as a real process."""

import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import httpx

COMMAND = [sys.executable, "-m", "pets"]


@dataclass
class Served:
    process: subprocess.Popen[str]
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def workers(self) -> list[int]:
        """The numbers of the processes that serve."""
        pid = self.process.pid
        children = Path(f"/proc/{pid}/task/{pid}/children").read_text()
        return [int(child) for child in children.split()]

    def request(
        self,
        method: str,
        path: str,
        *,
        json: object = None,
        content: bytes | None = None,
        headers: dict[str, str] | None = None,
    ) -> httpx.Response:
        """Send a request on a connection of its own."""
        # Loading certificates would take 30 ms, and plain HTTP needs none.
        return httpx.request(
            method,
            f"{self.url}{path}",
            json=json,
            content=content,
            headers=headers,
            timeout=10,
            verify=False,
        )

    def wait_for_line(self, part: str) -> str:
        """Return the next line of the process's log that contains this text."""
        assert self.process.stderr
        for line in self.process.stderr:
            if part in line:
                return line
        raise AssertionError(f"the process ended without logging {part!r}")

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send the signal to the parent and return its exit code."""
        self.process.send_signal(number)
        return self.process.wait(timeout=30)

    def kill(self) -> None:
        """End all processes at once."""
        workers = self.workers
        self.stop(signal.SIGKILL)
        for worker in workers:
            os.kill(worker, signal.SIGKILL)


def start(
    *arguments: str, database_url: str, open_files: int | None = None, **settings: str
) -> subprocess.Popen[str]:
    """Start a command as a process of its own, which may open so many files.

    `settings` are more variables of its environment.
    """
    environment = os.environ | settings | {"PETS_DATABASE_URL": database_url}
    command = [*COMMAND, *arguments]
    if open_files is not None:
        command = ["sh", "-c", f'ulimit -n {open_files} && exec "$@"', "sh", *command]
    return subprocess.Popen(command, env=environment, stderr=subprocess.PIPE, text=True)


@contextmanager
def served(
    database_url: str, *, workers: int = 1, open_files: int | None = None, **settings: str
) -> Iterator[Served]:
    """Run a service on a free port until the end of the block."""
    arguments = ["serve", "--port", "0", "--workers", str(workers)]
    with start(*arguments, database_url=database_url, open_files=open_files, **settings) as process:
        try:
            service = Served(process, 0)
            address = re.search(r"http://\S+:(\d+)", service.wait_for_line("Listening on"))
            assert address
            service.port = int(address[1])
            for _ in range(workers):
                service.wait_for_line("startup complete")
            yield service
        finally:
            if process.poll() is None:
                process.terminate()
            process.communicate()
