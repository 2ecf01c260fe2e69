"""The commands as processes: their files, signals and messages."""

import asyncio
import ctypes
import fcntl
import os
import pty
import signal
import socket
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import aiosqlite
import pytest
from sqlalchemy import make_url

from pets.adapters.sqlalchemy.engine import MAX_SQLITE_LOCK_SECONDS, create_config, parse_url
from pets.bootstrap.stores import migrate
from pets.cli.main import main
from pets.serving.configuration import GRACE_SECONDS
from pets.settings import Settings
from tests.integration.conftest import execute
from tests.integration.served import COMMAND, start

LINE = b'{"name":"boy","age":7,"type":"dog"}\n'
DROP_FROM_BOUNDING_SET = 24  # prctl's PR_CAPBSET_DROP
DAC_OVERRIDE = 1  # the capability that lets root ignore the permissions of files

Use = Callable[[str], None]


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file with one pet."""
    path = tmp_path / "pets.ndjson"
    path.write_bytes(LINE)
    return path


@pytest.fixture
def store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of a migrated SQLite store that the commands use, alone in its folder."""
    path = tmp_path / "store" / "pets.db"
    path.parent.mkdir()
    url = f"sqlite:///{path}"
    monkeypatch.setenv("PETS_DATABASE_URL", url)
    migrate(Settings(database_url=url))
    return path


def count(store: Path) -> int:
    with closing(sqlite3.connect(store)) as connection:
        (number,) = connection.execute("SELECT count(*) FROM pets").fetchone()
        return int(number)


def run(
    *arguments: str, prepare: Callable[[], None] | None = None
) -> subprocess.CompletedProcess[bytes]:
    """Run a command to its end. `prepare` runs in the new process before the command."""
    return subprocess.run(
        [*COMMAND, *arguments], capture_output=True, preexec_fn=prepare, timeout=60, check=False
    )


def lines(done: subprocess.CompletedProcess[bytes]) -> list[str]:
    return done.stderr.decode().splitlines()


# Standard files


def replace_standard_error(path: str) -> None:
    full = os.open(path, os.O_WRONLY)
    os.dup2(full, 2)
    os.close(full)


def close_standard_error() -> None:
    os.close(2)


def fill_standard_error() -> None:
    replace_standard_error("/dev/full")


LOSE_STANDARD_ERROR = pytest.mark.parametrize(
    "prepare", [close_standard_error, fill_standard_error]
)


@pytest.mark.thorough
@LOSE_STANDARD_ERROR
def test_an_import_needs_no_standard_error(
    store: Path, file: Path, prepare: Callable[[], None]
) -> None:
    assert run("import", str(file), prepare=prepare).returncode == 0
    assert count(store) == 1


@pytest.mark.thorough
@LOSE_STANDARD_ERROR
def test_a_failed_import_needs_no_standard_error(
    store: Path, file: Path, prepare: Callable[[], None]
) -> None:
    file.write_bytes(b"{}\n" * 1000)
    assert run("import", str(file), prepare=prepare).returncode == 1
    assert count(store) == 0


@pytest.mark.thorough
@LOSE_STANDARD_ERROR
def test_an_export_needs_no_standard_error(
    store: Path, file: Path, prepare: Callable[[], None]
) -> None:
    assert main(["import", str(file)]) == 0
    assert run("export", prepare=prepare).stdout.count(b"\n") == count(store) == 1


@pytest.mark.thorough
def test_an_import_survives_the_loss_of_its_terminal(store: Path) -> None:
    """The progress bar fails, and the import succeeds."""
    controller, terminal = pty.openpty()
    command = [*COMMAND, "import", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=terminal) as process:
        os.close(terminal)
        assert process.stdin
        assert os.read(controller, 1)  # The bar has begun.
        os.close(controller)
        process.stdin.write(LINE)
        process.stdin.close()
        assert process.wait(timeout=30) == 0
    assert count(store) == 1


@pytest.mark.thorough
@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("command", ["export", "openapi"])
def test_a_closed_standard_output_is_an_error(command: str, file: Path) -> None:
    assert main(["import", str(file)]) == 0
    done = run(command, prepare=lambda: os.close(1))
    assert done.returncode == 1
    assert lines(done) == ["pets: standard output: Bad file descriptor"]


@pytest.mark.thorough
def test_a_reader_may_stop_reading_the_openapi_document() -> None:
    process = subprocess.Popen(
        [*COMMAND, "openapi"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    )
    with process:
        assert process.stdout
        assert process.stderr
        # The pipe holds less than the document, so that the command must wait for its reader.
        fcntl.fcntl(process.stdout, fcntl.F_SETPIPE_SZ, 4096)
        assert process.stdout.read(1) == b"{"
        process.stdout.close()
        assert (process.wait(timeout=30), process.stderr.read()) == (0, b"")


@pytest.mark.thorough
@pytest.mark.usefixtures("store")
def test_a_hyphen_as_output_means_standard_output(
    file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert main(["import", str(file)]) == 0
    monkeypatch.chdir(file.parent)
    done = run("export", "--output", "-")
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 1)
    assert not Path("-").exists()


# Messages


@pytest.mark.thorough
@pytest.mark.usefixtures("store")
def test_a_loop_of_links_as_output_is_reported_in_one_line(tmp_path: Path) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    first.symlink_to(second)
    second.symlink_to(first)
    done = run("export", "--output", str(first), "--format", "ndjson")
    assert done.returncode == 1
    assert lines(done) == [f"pets: {first}: Too many levels of symbolic links"]
    assert first.is_symlink()


@pytest.mark.thorough
def test_a_setting_that_is_not_utf_8_is_reported_in_one_line(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", os.fsdecode(b"sqlite:///\xff.db"))
    done = run("migrate")
    assert done.returncode == 2
    assert lines(done) == ["pets: PETS_DATABASE_URL: the value is not valid UTF-8"]


def test_the_file_of_sqlite_may_have_any_name(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, file: Path
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", f"sqlite:///{tmp_path}/a%3Fb %23%25.db")
    assert main(["import", str(file)]) == 0
    assert count(tmp_path / "a?b #%.db") == 1


@pytest.fixture
def reader(used_postgresql: str) -> Iterator[str]:
    """The URL of a role that may only read the revision."""
    role = make_url(used_postgresql).database
    execute(
        used_postgresql,
        f"CREATE ROLE {role} LOGIN PASSWORD 'hunter2'",
        f"GRANT SELECT ON pets_alembic_version TO {role}",
    )
    url = make_url(used_postgresql).set(username=role, password="hunter2")
    yield url.render_as_string(hide_password=False)
    execute(used_postgresql, f"DROP OWNED BY {role}", f"DROP ROLE {role}")


def test_a_missing_privilege_is_reported(
    reader: str, capfd: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", reader)
    assert main(["export"]) == 1
    (line,) = capfd.readouterr().err.splitlines()
    assert line.endswith("permission denied for table pets")
    assert "hunter2" not in line


def test_an_export_needs_only_the_right_to_read(
    used_postgresql: str, reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    execute(used_postgresql, f"GRANT SELECT ON pets TO {make_url(reader).username}")
    monkeypatch.setenv("PETS_DATABASE_URL", reader)
    assert main(["export"]) == 0


@pytest.mark.thorough
def test_a_killed_session_is_reported(used_postgresql: str) -> None:
    command = [*COMMAND, "import", "-"]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        process.stdin.write(LINE * 50_000)
        process.stdin.flush()
        execute(
            used_postgresql,
            "SELECT pg_terminate_backend(pid, 5000) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()",
        )
        process.stdin.write(LINE)
        process.stdin.close()
        assert process.wait(timeout=30) == 1
        (line,) = process.stderr.read().decode().splitlines()
    *_, reason = line.split(": ")
    assert reason in {
        "terminating connection due to administrator command",
        "connection was closed in the middle of operation",  # The driver says so while it writes.
    }


# A store that is read-only


def obey_permissions() -> None:
    """Make root obey permissions as any other user does. For other users this does nothing."""
    ctypes.CDLL(None).prctl(DROP_FROM_BOUNDING_SET, DAC_OVERRIDE)


@pytest.fixture(params=["file", "folder", "both", "log"])
def read_only_store(request: pytest.FixtureRequest, store: Path, file: Path) -> Iterator[Path]:
    """The file or folder that makes a store with one pet read-only."""
    assert main(["import", str(file)]) == 0
    folder = store.parent
    match request.param:
        case "file":
            read_only = [store]
        case "folder":
            read_only = [folder]
        case "both":
            read_only = [store, folder]
        case _:
            read_only = [folder / "pets.db-wal"]
            read_only[0].touch()
    modes = [(path, path.stat().st_mode) for path in read_only]
    for path, mode in modes:
        path.chmod(mode & ~0o222)
    yield read_only[0]
    for path, mode in modes:
        path.chmod(mode)


@pytest.mark.thorough
@pytest.mark.usefixtures("read_only_store")
def test_a_read_only_store_can_be_exported() -> None:
    done = run("export", prepare=obey_permissions)
    assert (done.returncode, done.stderr) == (0, b"pets: exported 1\n")
    assert done.stdout.count(b"\n") == 1


@pytest.mark.thorough
@pytest.mark.usefixtures("read_only_store")
def test_the_counts_of_a_read_only_store_can_be_checked() -> None:
    done = run("check-counts", prepare=obey_permissions)
    assert (done.returncode, done.stdout) == (0, b"all counts are right\n")


@pytest.mark.thorough
@pytest.mark.parametrize(
    "arguments",
    [["migrate"], ["serve", "--port", "0"], ["import", "{file}"], ["check-counts", "--repair"]],
)
def test_writing_to_a_read_only_store_is_reported_in_one_line(
    read_only_store: Path, file: Path, arguments: list[str]
) -> None:
    """The line names the file or the folder that is read-only."""
    done = run(*(argument.format(file=file) for argument in arguments), prepare=obey_permissions)
    assert done.returncode == 1
    (line,) = lines(done)
    assert line.startswith("pets: PETS_DATABASE_URL: cannot use sqlite")
    assert line.endswith(f": {read_only_store} is read-only")


@pytest.mark.thorough
def test_an_export_includes_the_latest_writes_of_others(store: Path, file: Path) -> None:
    """The latest writes are in a file beside the store's file."""
    assert main(["import", str(file)]) == 0
    with closing(sqlite3.connect(store)) as writer:
        writer.execute("INSERT INTO pets SELECT 2, name, age, type, created_at FROM pets")
        writer.commit()
        store.parent.chmod(0o555)
        done = run("export", prepare=obey_permissions)
        store.parent.chmod(0o755)
    assert (done.returncode, done.stdout.count(b"\n")) == (0, 2)


# Commands that read


def make_database(path: Path, *statements: str) -> None:
    with closing(sqlite3.connect(path, isolation_level=None)) as connection:
        for statement in statements:
            connection.execute(statement)


NO_STORES: dict[str, tuple[Callable[[Path], object], str]] = {
    "nothing": (lambda _: None, "There is no file {}"),
    "a folder": (Path.mkdir, "{} is a folder"),
    "a pipe": (os.mkfifo, "{} is not a regular file"),
    "an empty file": (Path.touch, "{} is empty; `pets migrate` makes it a store"),
    "a text": (lambda path: path.write_text("pets " * 300), "{} is not a SQLite database"),
    "another database": (
        lambda path: make_database(path, "CREATE TABLE pets (a)"),
        "{} is the database of another application",
    ),
    "another database in WAL mode": (
        lambda path: make_database(path, "PRAGMA journal_mode = WAL", "CREATE TABLE t (a)"),
        "{} is the database of another application",
    ),
    "a database in UTF-16": (
        lambda path: make_database(path, "PRAGMA encoding = 'UTF-16le'", "CREATE TABLE t (a)"),
        "{}: a database in UTF-8 is needed; this one is in UTF-16le",
    ),
}
READING = [["export", "--output", "yesterday.ndjson"], ["check-counts"], ["doctor"]]


def content(folder: Path) -> dict[str, bytes | None]:
    """Return what each file of a folder has."""
    files: dict[str, bytes | None] = {}
    for path in folder.iterdir():
        files[path.name] = path.read_bytes() if path.is_file() else None
    return files


@pytest.mark.parametrize("arguments", READING, ids=lambda arguments: arguments[0])
@pytest.mark.parametrize("kind", NO_STORES)
def test_reading_what_is_no_store_says_so_and_changes_nothing(
    kind: str,
    arguments: list[str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("PETS_DATABASE_URL", raising=False)  # The default is pets.db.
    Path("yesterday.ndjson").write_bytes(LINE)
    make, message = NO_STORES[kind]
    make(Path("pets.db"))
    before = content(tmp_path)
    assert main(arguments) == 1
    (line,) = capsys.readouterr().err.splitlines()
    store = tmp_path / "pets.db"
    assert line.removeprefix("pets: PETS_DATABASE_URL: ").removesuffix(".") == message.format(store)
    assert content(tmp_path) == before


@pytest.mark.thorough
@pytest.mark.parametrize("mode", ["DELETE", "WAL"])
def test_reading_a_store_changes_no_file(mode: str, store: Path, file: Path) -> None:
    assert main(["import", str(file)]) == 0
    make_database(store, f"PRAGMA journal_mode = {mode}")
    before = content(store.parent)
    assert run("export").stdout.count(b"\n") == 1
    assert main(["check-counts"]) == main(["doctor"]) == 0
    assert content(store.parent) == before


def test_a_database_in_utf_16_does_not_become_a_store(
    tmp_path: Path, file: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """It would sort names in another order."""
    path = tmp_path / "pets.db"
    make_database(path, "PRAGMA encoding = 'UTF-16be'", "CREATE TABLE t (a)")
    monkeypatch.setenv("PETS_DATABASE_URL", f"sqlite:///{path}")
    before = content(tmp_path)
    for arguments in (["migrate"], ["serve", "--port", "0"], ["import", str(file)]):
        assert main(arguments) == 1
        (line,) = capsys.readouterr().err.splitlines()
        assert line.endswith("a database in UTF-8 is needed; this one is in UTF-16be")
    assert content(tmp_path) == before


def test_an_export_does_not_migrate(
    empty_database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", empty_database_url)
    output = tmp_path / "pets.ndjson"
    output.write_bytes(LINE)
    assert main(["export", "--output", str(output)]) == main(["check-counts"]) == 1
    assert main(["export", "--output", str(output)]) == 1  # The first one has not migrated it.
    assert output.read_bytes() == LINE


# A store is not written over

PARTS = ["pets.db", "pets.db-wal", "pets.db-shm", "pets.db-journal", "../link", "../hard"]


@pytest.mark.thorough
@pytest.mark.parametrize("command", [["export", "--output"], ["backup"]], ids=" ".join)
@pytest.mark.parametrize("output", PARTS)
def test_no_part_of_a_store_is_an_output(
    store: Path, file: Path, command: list[str], output: str
) -> None:
    assert main(["import", str(file)]) == 0
    (store.parent.parent / "link").symlink_to(store)
    (store.parent.parent / "hard").hardlink_to(store)
    before = content(store.parent)
    path = f"{store.parent}/{output}"
    options = ["--format", "ndjson"] if "export" in command else []
    done = run(*command, path, *options)
    assert (done.returncode, lines(done)) == (
        1,
        [f"pets: {path}: this file is a part of the store"],
    )
    assert content(store.parent) == before


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the open files are in /proc")
@pytest.mark.parametrize("output", ["-", "/dev/stdout", "/proc/self/fd/1"])
def test_an_open_file_of_the_store_is_no_output(store: Path, file: Path, output: str) -> None:
    assert main(["import", str(file)]) == 0
    before = content(store.parent)
    with store.open("r+b") as opened:
        command = [*COMMAND, "export", "--output", output, "--format", "ndjson"]
        done = subprocess.run(command, stdout=opened, stderr=subprocess.PIPE, check=False)
    assert (done.returncode, content(store.parent)) == (1, before)
    (line,) = lines(done)
    assert line.endswith(": this file is a part of the store")


# SQLite's lock


@pytest.mark.usefixtures("store")
def test_a_writer_waits_for_the_lock_less_than_the_grace() -> None:
    """A service could not stop while a call waits, because SQLite's wait cannot be cancelled."""

    async def patience() -> int:
        engine = create_config(parse_url(os.environ["PETS_DATABASE_URL"])).get_engine()
        async with engine.connect() as connection:
            milliseconds = (await connection.exec_driver_sql("PRAGMA busy_timeout")).scalar_one()
        await engine.dispose()
        return int(milliseconds)

    assert asyncio.run(patience()) == MAX_SQLITE_LOCK_SECONDS * 1000
    assert MAX_SQLITE_LOCK_SECONDS < GRACE_SECONDS


def written() -> int:
    """Return how many bytes this process has written."""
    counters = dict(line.split(": ") for line in Path("/proc/self/io").read_text().splitlines())
    return int(counters["wchar"])


@pytest.mark.thorough
@pytest.mark.skipif(sys.platform != "linux", reason="the number of written bytes is in /proc")
def test_an_import_writes_each_page_only_a_few_times(store: Path, tmp_path: Path) -> None:
    """If the indexes were not kept in memory, the import would hold the lock twice as long."""
    file = tmp_path / "many.csv"
    rows = [f"{number * 7919 % 100_003:06},7,dog\n" for number in range(100_003)]
    file.write_text("name,age,type\n" + "".join(rows))
    before = written()
    assert main(["import", str(file)]) == 0
    assert written() - before < 5 * store.stat().st_size


# Signals


def test_an_import_that_is_interrupted_when_it_is_committed_says_what_it_has_done(
    file: Path, store: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    execute = aiosqlite.Connection.execute

    def execute_and_interrupt(driver: aiosqlite.Connection, sql: str, *rest: Any) -> Any:
        if sql.startswith("DROP TABLE"):  # This comes after the commit.
            signal.raise_signal(signal.SIGINT)
        return execute(driver, sql, *rest)

    monkeypatch.setattr(aiosqlite.Connection, "execute", execute_and_interrupt)
    assert main(["import", str(file)]) == 0
    assert capsys.readouterr().err == "pets: imported 1, skipped 0\n"
    assert count(store) == 1


def ignore_sigint() -> None:
    signal.signal(signal.SIGINT, signal.SIG_IGN)


@pytest.mark.thorough
def test_sigterm_ends_an_import_in_the_background(store: Path) -> None:
    """A shell makes a background command of a script ignore SIGINT, but not SIGTERM."""
    process = subprocess.Popen(
        [*COMMAND, "import", "-"],
        stdin=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=ignore_sigint,  # noqa: PLW1509  # the test has only one thread
    )
    with process:
        assert process.stdin
        assert process.stderr
        # This is more than a pipe holds, so the command has begun to read when it is written.
        process.stdin.write(LINE * 50_000)
        process.stdin.flush()
        process.send_signal(signal.SIGINT)
        process.stdin.write(LINE * 50_000)
        process.stdin.flush()
        process.send_signal(signal.SIGTERM)
        assert process.wait(timeout=20) == 130
        assert process.stderr.read() == b"pets: interrupted; nothing was imported\n"
        process.stdin.close()
    assert count(store) == 0


@pytest.mark.thorough
@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupted_migration_exits_with_130(number: int) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"postgresql://pets@127.0.0.1:{silent.getsockname()[1]}/pets"
        with start("migrate", database_url=url) as process, silent.accept()[0]:
            process.send_signal(number)
            assert process.wait(timeout=10) == 130
            assert process.stderr
            assert process.stderr.read() == "pets: interrupted\n"


BEGIN_SLOWLY = """
import importlib.abc, signal, sys

class Interrupt(importlib.abc.MetaPathFinder):
    def find_spec(self, name, path, target=None):
        if name == {module!r}:
            signal.raise_signal(signal.SIGINT)

sys.meta_path.insert(0, Interrupt())
from pets.__main__ import main
sys.exit(main())
"""


@pytest.mark.thorough
@pytest.mark.parametrize("module", ["pets.cli", "sqlalchemy", "pets.bootstrap.stores"])
@pytest.mark.parametrize("command", ["openapi", "migrate", "serve"])
def test_ctrl_c_ends_a_command_that_is_still_starting(module: str, command: str) -> None:
    program = BEGIN_SLOWLY.format(module=module)
    done = subprocess.run(
        [sys.executable, "-c", program, command], capture_output=True, timeout=30, check=False
    )
    assert (done.returncode, done.stderr) == (130, b"")
