"""PostgreSQL as others may run it: versions, encodings, defaults, grants and locks."""

import asyncio
import re
import secrets
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from pathlib import Path

import asyncpg
import pytest
from litestar.testing import AsyncTestClient
from sqlalchemy import make_url

from pets.adapters.sqlalchemy import postgresql_session
from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.bootstrap import create_app
from pets.bootstrap.stores import migrate
from pets.cli.main import main
from pets.domain.errors import StoreUnavailable
from pets.domain.pet import NewPet, PetChange, PetType
from pets.domain.query import PetQuery, PetSort
from pets.settings import Settings
from tests.factories import NewPetFactory
from tests.integration.conftest import execute, fetch
from tests.port_contract import PetRepositoryContract, exported, load, page_of

OPERATION = Path(__file__).parents[2] / "docs" / "operation.md"


@asynccontextmanager
async def opened(
    url: str, key_ttl: timedelta = timedelta(days=1)
) -> AsyncIterator[SQLAlchemyPetRepository]:
    engine = create_config(parse_url(url)).get_engine()
    try:
        yield SQLAlchemyPetRepository(engine, key_ttl)
    finally:
        await engine.dispose()


def test_a_server_that_is_too_old_is_rejected_in_one_line(
    oldest_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The test raises the limit, because no server below it is at hand."""
    monkeypatch.setattr(postgresql_session, "OLDEST_SERVER", 17)
    monkeypatch.setenv("PETS_DATABASE_URL", oldest_server)
    for command in ("migrate", "serve"):
        assert main([command]) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert re.search(r": PostgreSQL 17 or newer is needed; this is 16\.\d+$", line)


def test_a_database_that_is_not_in_utf8_is_rejected(
    postgresql_server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    name = f"pets_test_{secrets.token_hex(4)}"
    locale = "ENCODING 'SQL_ASCII' LC_COLLATE 'C' LC_CTYPE 'C'"
    execute(postgresql_server, f"CREATE DATABASE {name} TEMPLATE template0 {locale}")
    try:
        url = make_url(postgresql_server).set(database=name).render_as_string(hide_password=False)
        monkeypatch.setenv("PETS_DATABASE_URL", url)
        for command in ("migrate", "serve"):
            assert main([command]) == 1
            (line,) = capsys.readouterr().err.splitlines()
            assert line.endswith(": a database in UTF8 is needed; this one is in SQL_ASCII")
    finally:
        execute(postgresql_server, f"DROP DATABASE {name} WITH (FORCE)")


# The defaults of an unusual database, and the values that sessions of the service have anyway.
DEFAULTS = {
    "default_transaction_isolation": ("serializable", "read committed"),
    "default_transaction_read_only": ("on", "off"),
    "synchronous_commit": ("off", "on"),
    "search_path": ("pg_catalog", "public"),
    "standard_conforming_strings": ("off", "on"),
    "DateStyle": ("SQL, DMY", "ISO, MDY"),
    "TimeZone": ("Asia/Kathmandu", "UTC"),
    "statement_timeout": ("1ms", "0"),
    "lock_timeout": ("1ms", "0"),
    "idle_in_transaction_session_timeout": ("1ms", "0"),
    "transaction_timeout": ("1s", "0"),
    "idle_session_timeout": ("1s", "0"),
}


@pytest.fixture(scope="module")
def unusual_url(new_database: Callable[[str], str]) -> str:
    """A migrated database whose defaults are not those that this service needs."""
    url = new_database("postgresql")
    name = make_url(url).database
    statements = []
    for setting, (value, _) in DEFAULTS.items():
        values = ", ".join(f"'{part}'" for part in value.split(", "))
        statements.append(f"ALTER DATABASE {name} SET {setting} = {values}")
    execute(url, *statements)
    migrate(Settings(database_url=url))
    return url


@pytest.mark.anyio
class TestUnderOtherDefaults:
    """The promises of the contract that the defaults of a database could break."""

    @pytest.fixture
    async def repository(self, unusual_url: str) -> AsyncIterator[SQLAlchemyPetRepository]:
        async with opened(unusual_url) as repository:
            await repository.remove([pet.id for pet in await exported(repository)])
            yield repository

    @pytest.mark.parametrize("setting", DEFAULTS)
    async def test_a_session_has_the_setting_that_the_service_needs(
        self, unusual_url: str, setting: str
    ) -> None:
        engine = create_config(parse_url(unusual_url)).get_engine()
        async with engine.connect() as connection:
            shown = (await connection.exec_driver_sql(f"SHOW {setting}")).scalar_one()
        await engine.dispose()
        assert shown == DEFAULTS[setting][1]

    test_concurrent_calls_lose_nothing = PetRepositoryContract.test_concurrent_calls_lose_nothing
    test_concurrent_changes_of_different_members_are_all_kept = (
        PetRepositoryContract.test_concurrent_changes_of_different_members_are_all_kept
    )
    test_only_one_of_concurrent_changes_of_an_expected_pet_succeeds = (
        PetRepositoryContract.test_only_one_of_concurrent_changes_of_an_expected_pet_succeeds
    )
    test_concurrent_callers_with_a_key_all_get_the_same_pets = (
        PetRepositoryContract.test_concurrent_callers_with_a_key_all_get_the_same_pets
    )
    test_every_valid_value_is_returned_unchanged = (
        PetRepositoryContract.test_every_valid_value_is_returned_unchanged
    )
    test_an_export_has_the_pets_of_one_moment = (
        PetRepositoryContract.test_an_export_has_the_pets_of_one_moment
    )
    test_loading_rejects_ids_that_are_taken = (
        PetRepositoryContract.test_loading_rejects_ids_that_are_taken
    )


@pytest.mark.anyio
async def test_a_pet_inserted_by_hand_in_any_time_zone_is_shown_in_utc(postgresql_url: str) -> None:
    by_hand = await asyncpg.connect(postgresql_url)
    await by_hand.execute("SET TimeZone TO 'Asia/Tokyo'")
    id_ = await by_hand.fetchval(
        "INSERT INTO pets (name, age, type, created_at)"
        " VALUES ('boy', 7, 'dog', '2021-05-19 04:10:17') RETURNING id"
    )
    await by_hand.close()
    created_at = "2021-05-18T19:10:17"
    async with opened(postgresql_url) as repository:
        pet = (await repository.find([id_]))[id_]
        assert pet.created_at == datetime.fromisoformat(created_at)
        for query in (PetQuery(limit=1000), PetQuery(limit=1000, sort=PetSort.CREATED_AT)):
            assert pet in (await page_of(repository, query)).items
            assert pet in await exported(repository, query)
        assert await repository.change({id_: PetChange(age=8)}, expected={id_: pet})
    async with AsyncTestClient(create_app(Settings(database_url=postgresql_url))) as client:
        assert (await client.get(f"/pets/{id_}")).json()["created_at"] == created_at


def documented_grants() -> list[str]:
    return documented_statements("GRANT")


def documented_statements(first_word: str) -> list[str]:
    """Return the statements of the block that begins with this word."""
    block = OPERATION.read_text().split(f"```sql\n{first_word}")[1].split("```")[0]
    return [part.strip() for part in f"{first_word}{block}".split(";") if part.strip()]


@pytest.fixture
def limited_url(new_database: Callable[[str], str]) -> Iterator[str]:
    """A migrated database and a user that has the documented rights only."""
    url = new_database("postgresql")
    migrate(Settings(database_url=url))
    user = f"pets_test_{secrets.token_hex(4)}"
    execute(url, f"CREATE ROLE {user} LOGIN PASSWORD 'pets'")
    execute(url, *(grant.replace("pets_service", user) for grant in documented_grants()))
    try:
        limited = make_url(url).set(username=user, password="pets")
        yield limited.render_as_string(hide_password=False)
    finally:
        execute(url, f"DROP OWNED BY {user}", f"DROP ROLE {user}")


async def use_the_whole_port(repository: SQLAlchemyPetRepository) -> None:
    await repository.check()
    boy = NewPet(name="boy", age=7, type=PetType.DOG)
    (pet,) = await repository.add([boy])
    added = [(await repository.add_once({"k": [boy, boy]}))["k"] for _ in range(2)]
    assert not any(each.is_replay for each in added)  # The key was forgotten at once.
    assert await repository.find([pet.id]) == {pet.id: pet}
    for query in (PetQuery(), PetQuery(type=PetType.DOG, sort=PetSort.AGE), PetQuery(name="bo")):
        assert pet in (await page_of(repository, query)).items
    assert pet in await exported(repository)
    assert await repository.change({pet.id: PetChange(type=PetType.CAT)}, expected={pet.id: pet})
    assert await load(repository, boy) == ()
    assert await load(repository, boy.with_id(1000)) == []
    assert await repository.remove([pet.id]) == {pet.id}


@pytest.mark.parametrize("command", ["migrate", "export"])
def test_the_documented_grants_are_enough(
    limited_url: str, command: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def use() -> None:
        async with opened(limited_url, key_ttl=timedelta(0)) as repository:
            await use_the_whole_port(repository)

    asyncio.run(use())
    monkeypatch.setenv("PETS_DATABASE_URL", limited_url)
    assert main([command]) == 0


def test_only_the_owner_of_the_tables_can_repair_the_counts(
    limited_url: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", limited_url)
    assert main(["check-counts"]) == 0
    capsys.readouterr()
    assert main(["check-counts", "--repair"]) == 1
    assert capsys.readouterr().err == (
        "pets: PETS_DATABASE_URL: Only the owner of the tables can repair the counts:"
        " permission denied for table pet_counts\n"
    )


NEEDED_GRANTS = {
    "pets": ["SELECT", "INSERT", "UPDATE", "DELETE"],
    "pet_keys": ["SELECT", "INSERT", "UPDATE", "DELETE"],
    "pet_counts": ["SELECT"],
    "pets_alembic_version": ["SELECT"],
    "pets_id_seq": ["USAGE"],
}


def test_a_store_is_not_ready_while_a_grant_is_missing(
    new_database: Callable[[str], str], limited_url: str
) -> None:
    user = make_url(limited_url).username
    owner = make_url(new_database("postgresql")).set(database=make_url(limited_url).database)

    async def check() -> None:
        async with opened(limited_url) as repository:
            await repository.check()

    url = owner.render_as_string(hide_password=False)
    for name, privileges in NEEDED_GRANTS.items():
        kind = "SEQUENCE" if name.endswith("_seq") else "TABLE"
        for privilege in privileges:
            message = f"^The database user lacks {privilege} on {name}.$"
            execute(url, f"REVOKE {privilege} ON {kind} {name} FROM {user}")
            with pytest.raises(StoreUnavailable, match=message):
                asyncio.run(check())
            execute(url, f"GRANT {privilege} ON {kind} {name} TO {user}")
    asyncio.run(check())


@pytest.mark.anyio
async def test_a_sequence_that_was_set_but_not_used_is_not_moved_back(used_postgresql: str) -> None:
    driver = await asyncpg.connect(used_postgresql)
    await driver.execute("ALTER SEQUENCE pets_id_seq RESTART WITH 1000")
    await driver.close()
    (new,) = NewPetFactory.batch(1)
    async with opened(used_postgresql) as repository:
        assert await repository.last_id() == 999
        assert await load(repository, new.with_id(5)) == []
        (added,) = await repository.add([new])
        assert added.id > 999


@pytest.mark.anyio
async def test_a_new_pet_that_would_get_a_taken_id_is_not_added(used_postgresql: str) -> None:
    """It is no bug of the service, and repeating the call can help."""
    driver = await asyncpg.connect(used_postgresql)
    async with opened(used_postgresql) as repository:
        (pet,) = await repository.add(NewPetFactory.batch(1))
        await driver.execute("SELECT setval('pets_id_seq', 1, false)")
        with pytest.raises(StoreUnavailable, match="an id that another pet has"):
            await repository.add(NewPetFactory.batch(1))
        (added,) = await repository.add(NewPetFactory.batch(1))
        assert added.id == pet.id + 1
    await driver.close()


def test_other_users_cannot_call_the_function_that_counts(postgresql_url: str) -> None:
    query = "SELECT has_function_privilege('public', 'keep_pet_counts()', 'EXECUTE')"
    assert [tuple(row) for row in fetch(postgresql_url, query)] == [(False,)]


@pytest.mark.anyio
async def test_a_load_that_waits_for_a_lock_does_not_block_writers(
    postgresql_url: str,
) -> None:
    """It tries again and again, and each try blocks them for a tenth of a second at most."""
    is_waiting = "SELECT count(*) FROM pg_locks WHERE NOT granted AND relation = 'pets'::regclass"
    (loaded,) = [new.with_id(10**6) for new in NewPetFactory.batch(1)]
    observer = await asyncpg.connect(postgresql_url)
    writer = await asyncpg.connect(postgresql_url)
    try:
        async with opened(postgresql_url) as repository, asyncio.TaskGroup() as tasks:
            async with writer.transaction():
                await writer.execute(
                    "INSERT INTO pets (name, age, type, created_at) "
                    "VALUES ('boy', 7, 'dog', '2021-05-18 19:10:17+00')"
                )
                loading = tasks.create_task(load(repository, loaded))
                for _ in range(2):
                    async with asyncio.timeout(10):
                        while not await observer.fetchval(is_waiting):
                            pass
                    async with asyncio.timeout(2):
                        await repository.add(NewPetFactory.batch(1))
                assert not loading.done()
            assert await asyncio.wait_for(loading, 10) == []
            assert await repository.find([loaded.id]) == {loaded.id: loaded}
    finally:
        await writer.close()
        await observer.close()


@pytest.mark.anyio
async def test_the_documented_statement_puts_old_names_into_one_form(used_postgresql: str) -> None:
    """A name that would become too long stays, and so do ids and counts."""
    (update,) = documented_statements("UPDATE")
    old = {"Zoe\u0308": "Zo\u00eb", "Zo\u00eb": "Zo\u00eb", "\ufb2d" * 100: "\ufb2d" * 100}
    by_hand = await asyncpg.connect(used_postgresql)
    for name in old:
        insert = "INSERT INTO pets (name, age, type, created_at) VALUES ($1, 7, 'cat', now())"
        await by_hand.execute(insert, name)
    async with opened(used_postgresql) as repository:
        before = await exported(repository)
        await by_hand.execute(update)
        assert await exported(repository) == [pet._replace(name=old[pet.name]) for pet in before]
        assert (await page_of(repository, PetQuery(name_is="Zoe\u0308"))).count == 2
        assert await repository.counts() == {(PetType.CAT, 7): 3}
    await by_hand.close()
