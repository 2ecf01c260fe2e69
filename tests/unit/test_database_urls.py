"""What the URL of a database may say, and what becomes of it."""

import asyncio
import socket
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path
from typing import Any, NoReturn

import asyncpg
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.postgresql_options import OPTIONS
from pets.bootstrap.stores import look_at_store
from pets.cli.main import main
from pets.domain.errors import StoreUnavailable
from pets.settings import Settings, SettingsError

URL = "postgresql://pets:hunter2@127.0.0.1:1/pets"

LIBPQ = """
    host hostaddr port dbname user password passfile require_auth channel_binding connect_timeout
    client_encoding options application_name fallback_application_name keepalives keepalives_idle
    keepalives_interval keepalives_count tcp_user_timeout replication gssencmode sslmode requiressl
    sslnegotiation sslcompression sslcert sslkey sslkeylogfile sslpassword sslcertmode sslrootcert
    sslcrl sslcrldir sslsni requirepeer ssl_min_protocol_version ssl_max_protocol_version
    min_protocol_version max_protocol_version krbsrvname gsslib gssdelegation scram_client_key
    scram_server_key service servicefile target_session_attrs load_balance_hosts oauth_issuer
    oauth_client_id oauth_client_secret oauth_scope
"""


def test_each_option_of_libpq_is_decided() -> None:
    assert set(LIBPQ.split()) <= OPTIONS.keys()


def test_each_option_that_can_be_given_is_documented() -> None:
    document = Path("docs/configuration.md").read_text(encoding="utf-8")
    given = [name for name, option in OPTIONS.items() if option.values != "(?!)"]
    assert [name for name in given if f"`{name}`" not in document] == []


@pytest.fixture
def connecting(monkeypatch: pytest.MonkeyPatch) -> list[dict[str, Any]]:
    """What asyncpg is asked for. It connects to nothing."""
    asked: list[dict[str, Any]] = []

    async def connect(**options: Any) -> NoReturn:
        asked.append(options)
        raise ConnectionRefusedError

    monkeypatch.setattr(asyncpg, "connect", connect)
    return asked


async def arguments(url: str, connecting: list[dict[str, Any]], **options: Any) -> dict[str, Any]:
    engine = create_config(parse_url(url), **options).get_engine()
    with suppress(ConnectionRefusedError):
        async with engine.connect():
            pass
    await engine.dispose()
    return connecting[0]


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "name", "value"),
    [
        ("sslmode=require", "dsn", "postgresql://?sslmode=require"),
        ("ssl=verify-full", "dsn", "postgresql://?sslmode=verify-full"),
        ("ssl=true", "dsn", "postgresql://?sslmode=require"),
        ("ssl_min_protocol_version=TLSv1.3", "dsn", "postgresql://?ssl_min_protocol_version=TLSv1.3"),
        ("sslrootcert=system", "ssl", True),
        ("user=ann", "user", "ann"),
        ("password=p%26w", "password", "p&w"),
        ("dbname=other", "database", "other"),
        ("host=/tmp", "host", "/tmp"),
        ("host=::1", "host", "::1"),
        ("port=5", "port", 5),
        ("statement_cache_size=0", "statement_cache_size", 0),
        ("target_session_attrs=read-write", "target_session_attrs", "read-write"),
        ("connect_timeout=1", "timeout", 1),
        ("connect_timeout=20", "timeout", 20),
        ("connect_timeout=0", "timeout", 3),
        ("sslmode=", "dsn", None),
        ("channel_binding=prefer", "dsn", None),
    ],
)  # fmt: skip
async def test_an_option_is_obeyed(
    query: str, name: str, value: object, connecting: list[dict[str, Any]]
) -> None:
    assert (await arguments(f"{URL}?{query}", connecting)).get(name) == value


@pytest.mark.anyio
async def test_a_request_waits_no_longer_for_a_connection_than_it_can(
    connecting: list[dict[str, Any]],
) -> None:
    assert (await arguments(f"{URL}?connect_timeout=20", connecting, seconds=10))["timeout"] == 3


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("query", "setting"),
    [
        ("application_name=pets+1", {"application_name": "pets 1"}),
        ("fallback_application_name=x", {"application_name": "x"}),
        ("fallback_application_name=x&application_name=y", {"application_name": "y"}),
        ("options=endpoint%3Dcool", {"options": "endpoint=cool"}),
        ("options=-c%20geqo%3Doff", {"options": "-c geqo=off"}),
    ],
)
async def test_a_url_can_give_settings_of_a_session(
    query: str, setting: dict[str, str], connecting: list[dict[str, Any]]
) -> None:
    asked = await arguments(f"{URL}?{query}", connecting)
    assert asked["server_settings"].items() >= setting.items()


@pytest.mark.anyio
@pytest.mark.parametrize(
    "url",
    [
        "postgresql:///pets?host=a:1&host=[::1]:2",
        "postgresql://a:1,[::1]:2/pets",
        "postgresql:///pets?host=a,::1&port=1,2",
        "postgresql://a:1,[::1]:2/pets?target_session_attrs=any",
    ],
)
async def test_one_of_several_hosts_that_takes_changes_is_used(
    url: str, connecting: list[dict[str, Any]]
) -> None:
    await arguments(url, connecting)
    assert {(each["host"], each["port"]) for each in connecting} == {("a", 1), ("::1", 2)}
    assert {each["target_session_attrs"] for each in connecting} == {"read-write"}


COMMANDS = [
    ["serve"],
    ["migrate"],
    ["doctor"],
    ["import", "-"],
    ["export"],
    ["check-counts"],
]


def complaint(command: list[str], url: str, capsys: pytest.CaptureFixture[str]) -> tuple[int, str]:
    """Run a command, which must fail with one line. Return its status and the line."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETS_DATABASE_URL", url)
        patch.setenv("PETS_STARTUP_TIMEOUT", "0")
        capsys.readouterr()
        status = main(command)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pets: PETS_DATABASE_URL: ")
    assert "hunter2" not in line
    return status, line


@pytest.mark.parametrize("command", COMMANDS, ids=lambda command: command[0])
@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("sslmode=require&channel_binding=require", "channel_binding"),
        ("frobnicate=1", "frobnicate"),
    ],
)
def test_every_command_refuses_an_option_that_it_does_not_obey(
    command: list[str], query: str, name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    status, line = complaint(command, f"{URL}?{query}", capsys)
    assert status == 2
    assert name in line


@pytest.mark.parametrize(
    ("query", "name"),
    [
        ("sslmode=no-verify", "sslmode"),
        ("sslmode=parse", "sslmode"),
        ("sslmode=require&sslmode=disable", "sslmode"),
        ("ssl=require&sslmode=require", "sslmode"),
        ("sslmode=verify-full&sslrootcert=/nowhere/root.crt", "sslrootcert: /nowhere/root.crt: No"),
        ("sslmode=verify-full&sslrootcert=/", "sslrootcert"),
        ("sslrootcert=/dev/null", "sslrootcert"),
        ("sslrootcert={file}", "no effect without sslmode=verify-full"),
        ("sslrootcert=system&sslmode=require", "sslrootcert=system"),
        ("sslkey={file}", "sslkey"),
        ("passfile={file}", "passfile"),
        ("target_session_attrs=standby", "target_session_attrs"),
        ("statement_cache_size=-1", "statement_cache_size"),
        ("connect_timeout=soon", "connect_timeout"),
        ("keepalives_idle=5", "keepalives_idle"),
        ("options=-c%20Statement-Timeout%3D5", "Statement-Timeout"),
        ("options=--search_path%3Dapp", "search_path"),
        ("service=pets", "service"),
        ("pgbouncer=true", "pgbouncer"),
        ("empty", "empty"),
        ("port=99999", "99999"),
        ("host=a:1&host=b:x", "port"),
        ("host=a:1,b:2&port=1,2,3", "port"),
    ],
)
def test_an_option_that_is_not_obeyed_is_named(
    query: str, name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "file"
    file.touch(0o644)
    status, line = complaint(["doctor"], f"{URL}?{query.format(file=file)}", capsys)
    assert status == 2
    assert name in line


@pytest.mark.parametrize(
    "assignment",
    [
        "PGSSLMODE=no-verify",
        "PGSSLMODE=parse",
        "PGSSLMINPROTOCOLVERSION=SSLv3",
        "PGTARGETSESSIONATTRS=best",
        "PGPORT=postgresql",
        "PGHOST=,",
        "PGPASSFILE=passwords",
    ],
)
@pytest.mark.parametrize("command", ["migrate", "doctor"])
def test_a_variable_of_libpq_that_cannot_work_is_one_line(
    command: str,
    assignment: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    file = Path("passwords")
    file.touch(0o600)
    file.write_text("one:field:short:hunter2", encoding="utf-8")
    variable, _, value = assignment.partition("=")
    monkeypatch.setenv(variable, value)
    status, line = complaint([command], "postgresql:///pets?user=pets", capsys)
    assert status == 1
    assert "Connect call failed" not in line


def test_the_passphrase_of_a_key_is_hidden(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    certificate = tmp_path / "pets.crt"
    certificate.touch()
    query = f"sslcert={certificate}&sslkey={certificate}&sslpassword=hunter2"
    monkeypatch.setenv("PETS_DATABASE_URL", f"{URL}?{query}")
    assert main(["doctor"]) == 1
    assert "hunter2" not in "".join(capsys.readouterr())


PARTS = st.one_of(
    st.text(max_size=9),
    st.sampled_from(
        ["", "@", ":", "/", "?", "&", "=", ",", "[", "]", "[::1]", "%", "%00", "%ff", "%2F", "\0"]
        + [
            "\n",
            "127.0.0.1:1",
            "..",
            "a" * 70,
            "a" * 300,
            "9" * 5000,
            "-1",
            "0",
            "memory",
            "ü",
            "¾",
        ]
        + [f"{name}=" for name in sorted(OPTIONS)]
    ),
)
SCHEMES = st.sampled_from(
    ["postgresql", "postgres", "postgresql+asyncpg", "sqlite", "sqlite+aiosqlite", "mysql", ""]
)


@pytest.fixture(scope="module")
def no_names(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """No name is found, as in a network without DNS, and the folder is empty."""

    def fail(host: str, *_: object, **__: object) -> NoReturn:
        host.encode("idna")  # as Python does first
        raise socket.gaierror(-2, "Name or service not known")

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(socket, "getaddrinfo", fail)
        patch.chdir(tmp_path_factory.mktemp("empty"))
        yield


@given(
    st.tuples(SCHEMES, st.lists(PARTS, max_size=9)).map(lambda it: f"{it[0]}://{''.join(it[1])}")
)
@example("postgresql://..../pets")
@example(f"postgresql://{'a' * 70}/pets")
@example("sqlite:////" + "a" * 300)
@example("postgresql://127.0.0.1:1/pets?host=a:1&host=::1:2")
@settings(max_examples=100, deadline=None)
def test_no_url_is_a_traceback(no_names: None, url: str) -> None:
    del no_names
    with suppress(SettingsError, StoreUnavailable):
        asyncio.run(look_at_store(Settings(database_url=url)))
