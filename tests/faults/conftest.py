"""The stores of the scenarios, and the tables of what was found."""

from collections.abc import Awaitable, Callable, Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest

from tests.faults.disks import memory_disk
from tests.faults.findings import Findings
from tests.faults.postgresql import SMALL_DISK, Database, PostgreSQLServer, own_server
from tests.faults.scenario import Scenario

COLUMNS: Final = (
    "requests",
    "acknowledged",
    "lost",
    "doubled",
    "not linearizable",
    "500s",
    "slowest answer",
    "back after",
)
Survives = Callable[[Scenario], Awaitable[None]]
Judge = Callable[[Findings], None]
Reveals = Callable[[Scenario], Awaitable[Findings]]

_FINDINGS = pytest.StashKey[list[Findings]]()
_PLANTED = pytest.StashKey[list[Findings]]()


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--table", metavar="FILE", help="write the tables of what was found to a file")


def pytest_configure(config: pytest.Config) -> None:
    config.stash[_FINDINGS] = []
    config.stash[_PLANTED] = []


@pytest.fixture(scope="session")
def postgresql() -> Iterator[PostgreSQLServer]:
    with own_server() as server:
        yield server


@pytest.fixture
def database(postgresql: PostgreSQLServer) -> Database:
    return postgresql.new_database()


@pytest.fixture
def small_disk(postgresql: PostgreSQLServer) -> Iterator[Path]:
    """A disk of 24 MB, which has the tablespace of the same name."""
    with memory_disk(megabytes=24) as folder:
        postgresql.use_small_disk(folder)
        yield folder
        postgresql.execute(f"DROP TABLESPACE {SMALL_DISK}")


@pytest.fixture
def judge(pytestconfig: pytest.Config) -> Judge:
    """Adds findings to the table that is shown at the end. Nothing may be wrong with them."""

    def judge(findings: Findings) -> None:
        pytestconfig.stash[_FINDINGS].append(findings)
        assert findings.complaints == []

    return judge


@pytest.fixture
def survives(judge: Judge) -> Survives:
    """Runs a scenario."""

    async def survive(scenario: Scenario) -> None:
        judge(await scenario.run())

    return survive


@pytest.fixture
def reveals(pytestconfig: pytest.Config) -> Reveals:
    """Runs a scenario with a planted fault, and adds it to a table of its own."""

    async def reveal(scenario: Scenario) -> Findings:
        findings = await scenario.run()
        pytestconfig.stash[_PLANTED].append(findings)
        return findings

    return reveal


def pytest_terminal_summary(
    terminalreporter: pytest.TerminalReporter, config: pytest.Config
) -> None:
    lines = []
    tables = {"scenario": config.stash[_FINDINGS], "planted fault": config.stash[_PLANTED]}
    for name, rows in tables.items():
        if rows:
            lines += ["", *_table(name, rows)]
    for line in lines:
        terminalreporter.write_line(line)
    file = config.getoption("--table")
    if file:
        Path(file).write_text("\n".join([*lines[1:], ""]))


def _table(name: str, rows: Sequence[Findings]) -> list[str]:
    return [_line((name, *COLUMNS)), "|---" + "|--:" * len(COLUMNS) + "|", *map(_row, rows)]


def _row(row: Findings) -> str:
    counts = (row.requests, row.acknowledged, row.lost, row.doubled, row.not_linearizable)
    times = (f"{row.slowest:.1f} s", f"{row.back_after:.1f} s")
    return _line((row.scenario, *counts, row.errors, *times))


def _line(cells: Sequence[object]) -> str:
    return f"| {' | '.join(map(str, cells))} |"


@pytest.fixture(scope="module", autouse=True)
def nothing_left_by_the_module() -> None:
    """Let servers be left, as below."""


@pytest.fixture(autouse=True)
def nothing_left_behind() -> None:
    """Let a test leave a server that it has started again, because it serves later tests too."""
