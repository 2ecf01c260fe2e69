"""Commands that keep writers out say what they wait for, and do not wait for an autovacuum."""

import asyncio
import json
import re
import subprocess
from collections.abc import Iterator
from pathlib import Path

import asyncpg
import pytest

from pets.bootstrap.stores import migrate
from pets.settings import Settings
from tests.integration.conftest import embedded_server, execute
from tests.integration.served import start

pytestmark = pytest.mark.anyio

VACUUMS = "SELECT count(*) FROM pg_stat_progress_vacuum"
ADD = """
    INSERT INTO pets (name, age, type, created_at)
    SELECT 'boy', 7, 'dog', '2021-05-18 19:10:17' FROM generate_series(1, {number})
"""


@pytest.fixture(params=["repair", "import"])
def command(request: pytest.FixtureRequest, tmp_path: Path) -> list[str]:
    if request.param == "repair":
        return ["check-counts", "--repair"]
    file = tmp_path / "pets.ndjson"
    pet = {"id": 10**6, "name": "boy", "age": 7, "type": "dog", "created_at": "2021-05-18T19:10:17"}
    file.write_text(json.dumps(pet))
    return ["import", str(file), "--keep-ids"]


def line_of(process: subprocess.Popen[str], part: str) -> str:
    assert process.stderr
    return next(line for line in process.stderr if part in line)


@pytest.mark.thorough
async def test_a_command_says_which_transaction_it_waits_for(
    command: list[str], used_postgresql: str
) -> None:
    writer = await asyncpg.connect(used_postgresql)
    try:
        transaction = writer.transaction()
        await transaction.start()
        await writer.execute(ADD.format(number=1))
        with start(*command, database_url=used_postgresql) as process:
            line = await asyncio.to_thread(line_of, process, "waiting")
            await transaction.commit()
            assert process.wait(20) == 0
    finally:
        await writer.close()
    assert re.fullmatch(
        rf"pets: waiting to lock the table of pets: process {writer.get_server_pid()} of postgres,"
        r" idle in transaction, for \d+ s, INSERT INTO pets .*\n",
        line,
    )


@pytest.fixture(scope="module")
def vacuumed_url() -> Iterator[str]:
    """A store whose autovacuum begins soon, and takes minutes."""
    with embedded_server(18) as url:
        execute(url, "ALTER SYSTEM SET autovacuum_naptime = '1s'", "SELECT pg_reload_conf()")
        migrate(Settings(database_url=url))
        options = {
            "threshold": 1,
            "scale_factor": 0,
            "insert_threshold": 1,
            "insert_scale_factor": 0,
            "cost_delay": 100,
            "cost_limit": 1,
        }
        changes = ", ".join(
            f"autovacuum_vacuum_{name} = {value}" for name, value in options.items()
        )
        execute(url, f"ALTER TABLE pets SET ({changes})", ADD.format(number=20_000))
        yield url


@pytest.mark.thorough
async def test_a_command_has_an_autovacuum_cancelled(command: list[str], vacuumed_url: str) -> None:
    observer = await asyncpg.connect(vacuumed_url)
    try:
        async with asyncio.timeout(30):
            # No event tells of it.
            while not await observer.fetchval(VACUUMS):  # noqa: ASYNC110
                await asyncio.sleep(0.1)
        with start(*command, database_url=vacuumed_url) as process:
            line = await asyncio.to_thread(line_of, process, "waiting")
            assert process.wait(20) == 0
    finally:
        await observer.close()
    assert re.search(r"autovacuum, process \d+, active, for \d+ s, autovacuum: VACUUM", line)
