"""The file of SQLite and its disk fail in every way, and no acknowledged pet is lost or doubled."""

import asyncio
import math
import os
import random
import signal
import sqlite3
import subprocess
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Final

import httpx
import pytest

from tests.faults import mutants
from tests.faults.conftest import Reveals, Survives
from tests.faults.disks import ImageDisk, as_root, filled, image_disk, memory_disk, run_as_root
from tests.faults.scenario import OUTAGE_SECONDS, Scenario
from tests.faults.service import Service, served, signal_each
from tests.faults.sqlite import SQLiteFile
from tests.faults.test_mutants import planted
from tests.faults.test_service import IN_FLIGHT

pytestmark = pytest.mark.anyio

KILLS: Final = 15
CUTS: Final = 3


@pytest.fixture
def file(tmp_path: Path) -> SQLiteFile:
    return SQLiteFile(tmp_path)


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[ImageDisk]:
    with image_disk(tmp_path) as disk:
        yield disk


@pytest.mark.parametrize("workers", [1, 2])
async def test_kills_in_the_middle_of_writes(
    workers: int, file: SQLiteFile, survives: Survives
) -> None:
    """What a killed worker left is put right by the other one, or by its successor."""

    async def fault(service: Service) -> None:
        for number in range(KILLS):
            await asyncio.to_thread(file.wait_for_a_write)
            os.kill(service.worker_pids()[0], signal.SIGKILL)
            await service.wait_for_start(number + 1)
            await asyncio.sleep(random.uniform(0.2, 0.4))

    scenario = Scenario(
        name=f"SQLite: one of {workers} killed in mid-write, {KILLS} times",
        store=file,
        fault=fault,
        workers=workers,
        unanswered=KILLS * IN_FLIGHT,
    )
    await survives(scenario)


async def test_a_lock_that_outlasts_the_deadline(file: SQLiteFile, survives: Survives) -> None:
    async def fault(_: Service) -> None:
        with closing(sqlite3.connect(file.path)) as connection:
            connection.execute("BEGIN IMMEDIATE")
            await asyncio.sleep(OUTAGE_SECONDS)
            connection.rollback()

    await survives(Scenario(name="SQLite: file locked", store=file, fault=fault))


async def test_a_file_that_is_read_only_for_a_while(disk: ImageDisk, survives: Survives) -> None:
    """A worker that starts meanwhile serves reads, and writes too when it can."""
    file = SQLiteFile(disk.folder)

    async def fault(service: Service) -> None:
        await asyncio.to_thread(run_as_root, "chattr", "+i", *file.files())
        await asyncio.sleep(1)
        os.kill(service.worker_pids()[0], signal.SIGKILL)
        await service.wait_for_start()
        await asyncio.sleep(1)
        await asyncio.to_thread(run_as_root, "chattr", "-i", *file.files())

    scenario = Scenario(
        name="SQLite: file read-only", store=file, fault=fault, unanswered=IN_FLIGHT
    )
    await survives(scenario)


async def test_a_full_disk(survives: Survives) -> None:
    with memory_disk(megabytes=16) as folder:

        async def fault(_: Service) -> None:
            with filled(folder):
                await asyncio.sleep(4)

        await survives(Scenario(name="SQLite: disk full", store=SQLiteFile(folder), fault=fault))


async def test_a_reader_that_stands_on_a_small_disk() -> None:
    """While it stands, nothing that others change is forgotten, until the disk is full.

    When it has ended, changes are taken again, without a restart.
    """
    with memory_disk(megabytes=16) as folder:
        file = SQLiteFile(folder)
        async with served(file.url, workers=2) as service:
            base = f"http://127.0.0.1:{service.port}"
            async with httpx.AsyncClient(base_url=base, timeout=10) as client:
                with closing(sqlite3.connect(file.path, isolation_level=None)) as reader:
                    reader.execute("BEGIN")
                    reader.execute("SELECT count(*) FROM pets").fetchall()
                    acknowledged = await created_until(503, client)
                    assert (await client.get("/pets/")).json()["count"] == acknowledged > 100
                async with asyncio.timeout(10):
                    await created_until(201, client)
        assert len(await file.rows()) == acknowledged + 1


async def created_until(status: int, client: httpx.AsyncClient) -> int:
    """Create pets until this is the answer. Return how many creations had another one."""
    number = 0
    boy = {"name": "boy", "age": 7, "type": "dog"}
    while (await client.post("/pets/", json=boy)).status_code != status:
        number += 1
        await asyncio.sleep(0 if status == 503 else 0.1)
    return number


@asynccontextmanager
async def failing_syncs(pids: Sequence[int]) -> AsyncIterator[None]:
    """Let the disk of these processes refuse to make anything safe, until the end of the block."""
    fault = "inject=fsync,fdatasync:error=EIO"
    processes = (argument for pid in pids for argument in ("-p", str(pid)))
    try:
        tracer = await asyncio.create_subprocess_exec(
            *as_root("strace", "-f", "-o", "/dev/null", "-e", fault, *processes),
            stderr=asyncio.subprocess.PIPE,
        )
    except OSError as error:
        pytest.skip(f"this machine cannot run strace: {error}")
    assert tracer.stderr
    for _ in pids:
        line = await tracer.stderr.readline()
        if b"attached" not in line:
            pytest.skip(f"strace cannot trace another process here: {line.decode()}")
    try:
        yield
    finally:
        # It may have ended already, with the last of the processes.
        kill = as_root("kill", str(tracer.pid))
        await asyncio.to_thread(subprocess.run, kill, check=False, capture_output=True)
        await tracer.communicate()


async def test_commits_that_the_disk_does_not_make_safe(
    file: SQLiteFile, survives: Survives
) -> None:
    async def fault(service: Service) -> None:
        async with failing_syncs(service.pids()):
            await asyncio.sleep(3)

    await survives(Scenario(name="SQLite: fdatasync fails", store=file, fault=fault))


async def test_a_kill_after_commits_that_the_disk_did_not_make_safe(
    file: SQLiteFile, survives: Survives
) -> None:
    """A commit whose sync failed can be found again, so it was not said to be not done."""

    async def fault(service: Service) -> None:
        async with failing_syncs(service.pids()):
            await asyncio.sleep(2)
            await service.kill()
        await service.start()

    scenario = Scenario(
        name="SQLite: fdatasync fails, then SIGKILL",
        store=file,
        fault=fault,
        unanswered=math.inf,
        goes_away=True,
    )
    await survives(scenario)


async def cut_power(service: Service, disk: ImageDisk, file: SQLiteFile) -> None:
    """Stop all processes in the middle of a write, and go on with what the disk had then."""
    await asyncio.to_thread(file.wait_for_a_write)
    signal_each(service.pids(), signal.SIGSTOP)
    await asyncio.to_thread(disk.remember)
    await service.kill()
    await asyncio.to_thread(disk.go_back)
    await service.start()


async def test_power_cuts(disk: ImageDisk, survives: Survives) -> None:
    """What the service had not made safe is gone. What was acknowledged is there."""
    file = SQLiteFile(disk.folder)

    async def fault(service: Service) -> None:
        for _number in range(CUTS):
            await cut_power(service, disk, file)
            await asyncio.sleep(0.5)

    scenario = Scenario(
        name=f"SQLite: power cut, {CUTS} times",
        store=file,
        fault=fault,
        unanswered=math.inf,
        goes_away=True,
    )
    await survives(scenario)


async def test_a_commit_that_a_power_cut_undoes_is_found(disk: ImageDisk, reveals: Reveals) -> None:
    file = SQLiteFile(disk.folder)

    async def fault(service: Service) -> None:
        await cut_power(service, disk, file)

    plant = mutants.sqlite_does_not_wait_for_its_disk
    findings = await reveals(planted(plant, file, fault))
    assert findings.lost
