"""`python -m bench.cost`: what API keys and metrics take from a request."""

import hashlib
import tempfile
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from statistics import median
from typing import Final

from bench import ROWS
from bench.database import database, fill, main_process, postgresql
from bench.load import Figures, drive
from bench.processes import Server, free_port, leave_first_core, served
from bench.workloads import CREATE, TYPE_AND_LIMIT, Workload

RESULTS: Final = Path(__file__).with_name("cost.md")
KEY: Final = "a key of the benchmark"
CONNECTIONS: Final = 64
ROUNDS: Final = 11
SECONDS: Final = 2
WITHOUT: Final = "without"


def servers(stack: ExitStack, url: str) -> dict[str, Server]:
    """Start the service without any of it, with each of it, and with all of it."""
    folder = stack.enter_context(tempfile.TemporaryDirectory())
    file = Path(folder, "keys")
    file.write_text(f"bench write {hashlib.sha256(KEY.encode()).hexdigest()}\n")
    keys = {"PETS_API_KEYS_FILE": str(file)}
    metrics = {"PETS_METRICS_PORT": str(free_port())}
    everything = keys | {
        "PETS_METRICS_PORT": str(free_port()),
        "PETS_CORS_ORIGINS": "https://example.org",
        "PETS_ALLOWED_HOSTS": "127.0.0.1",
    }
    choices = {
        WITHOUT: {},
        "API keys": keys,
        "metrics": metrics,
        "API keys, metrics, CORS, allowed hosts": everything,
    }
    return {
        name: stack.enter_context(served("pets", url, **settings))
        for name, settings in choices.items()
    }


def with_key(workload: Workload) -> Workload:
    """Return the load with a key in each request. A service without keys ignores it."""

    def requests(server: Server) -> list[bytes]:
        line = f"\r\nX-API-Key: {KEY}\r\n".encode()
        return [request.replace(b"\r\n", line, 1) for request in workload.requests(server)]

    return replace(workload, requests=requests)


def row(name: str, own: list[Figures], base: list[Figures]) -> str:
    """Compare a service with the one without, round by round."""
    rates = [figures.rate for figures in own]
    pairs = zip(own, base, strict=True)
    ratio = median(mine.rate / other.rate for mine, other in pairs)
    extra = median(figures.server_cpu for figures in own)
    extra -= median(figures.server_cpu for figures in base)
    return f"| {name} | {median(rates):,.0f} | {ratio:.3f} | {extra:+.1f} |"


def main() -> None:
    leave_first_core()
    lines = [
        "# The cost of access control and metrics\n",
        f"`python -m bench.cost`: {CONNECTIONS} connections, {ROUNDS} rounds of {SECONDS} seconds.",
        "All services get the same requests, and take turns.",
        "The ratio is the median over the rounds.\n",
    ]
    with ExitStack() as stack:
        url = stack.enter_context(database(stack.enter_context(postgresql()), ROWS))
        choices = servers(stack, url)
        for workload in (with_key(TYPE_AND_LIMIT), with_key(CREATE)):
            runs: dict[str, list[Figures]] = {name: [] for name in choices}
            for _ in range(ROUNDS):
                for name, server in choices.items():
                    figures = drive(
                        server,
                        workload,
                        CONNECTIONS,
                        seconds=SECONDS,
                        postgresql=main_process(url),
                    )
                    runs[name].append(figures)
                fill(url, ROWS)
            lines += [f"## {workload.name}\n", "| service | requests/s | ratio | CPU, µs more |"]
            lines += ["|---|---:|---:|---:|"]
            lines += [row(name, own, runs[WITHOUT]) for name, own in runs.items()]
            lines.append("")
    text = "\n".join(lines)
    RESULTS.write_text(text)
    print(text)


if __name__ == "__main__":
    main()
