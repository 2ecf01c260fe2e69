"""The commands `pets export` and `pets import`, over both databases."""

import asyncio
import http.client
import io
import json
import os
import pty
import re
import signal
import stat
import subprocess
import sys
import threading
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from pets.adapters.sqlalchemy.engine import create_config, parse_url
from pets.adapters.sqlalchemy.repository import SQLAlchemyPetRepository
from pets.api.formats import CSV, FORMATS, ndjson_lines
from pets.cli.exporting import export_pets
from pets.cli.main import main
from pets.domain.pet import Pet
from pets.domain.query import PetQuery
from pets.settings import Settings
from tests.factories import NewPetFactory
from tests.integration.served import COMMAND, Served, served

LAST_ID = re.compile(rb'\{"last_id":[0-9]+\}\n$')
LINE = b'{"name":"boy","age":7,"type":"dog"}\n'


def some_pets(number: int, first: int = 1) -> list[Pet]:
    return [new.with_id(id_) for id_, new in enumerate(NewPetFactory.batch(number), first)]


@pytest.fixture
def use(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], None]:
    """Choose the store of the commands."""
    return lambda url: monkeypatch.setenv("PETS_DATABASE_URL", url)


@pytest.fixture
def url(empty_database_url: str, use: Callable[[str], None]) -> str:
    use(empty_database_url)
    return empty_database_url


def exported(tmp_path: Path, *arguments: str) -> bytes:
    """Return the lines of all pets."""
    assert main(["export", "--output", str(tmp_path / "exported.ndjson"), *arguments]) == 0
    return LAST_ID.sub(b"", (tmp_path / "exported.ndjson").read_bytes())


def errors(capsys: pytest.CaptureFixture[str], file: Path) -> list[str]:
    return [line.removeprefix(f"pets: {file}:") for line in capsys.readouterr().err.splitlines()]


CSV_LINES = b"name,age,type\nboy,7,dog\n"
TSV_LINES = b"name\tage\ttype\nboy\t7\tdog\n"
IN_EACH_FORMAT = [
    ("pets.csv", CSV_LINES),
    ("pets.CSV", CSV_LINES),
    ("pets.tsv", TSV_LINES),
    ("pets.ndjson", LINE),
    ("pets.jsonl", LINE),
]


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize(("name", "lines"), IN_EACH_FORMAT)
def test_the_ending_of_a_file_chooses_the_format(name: str, lines: bytes, tmp_path: Path) -> None:
    file = tmp_path / name
    file.write_bytes(lines)
    assert main(["import", str(file)]) == 0
    assert exported(tmp_path).count(b"\n") == 1
    assert main(["export", "--output", str(file)]) == 0
    assert main(["import", str(file)]) == 0
    assert exported(tmp_path).count(b"\n") == 2


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize("format_", FORMATS)
def test_an_option_chooses_the_format_of_any_file(format_: str, tmp_path: Path) -> None:
    file = str(tmp_path / "pets.txt")
    assert main(["seed", "3"]) == 0
    assert main(["export", "--output", file, "--format", format_]) == 0
    assert main(["import", file, "--format", format_]) == 0
    assert exported(tmp_path).count(b"\n") == 6


@pytest.mark.parametrize("name", ["pets.txt", "pets", "pets.csv.gz", "csv", "/dev/stdout"])
@pytest.mark.parametrize("command", [["import"], ["export", "--output"]], ids=" ".join)
def test_a_file_with_another_ending_needs_a_format(
    command: list[str], name: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*command, name]) == 2
    assert capsys.readouterr().err == (
        f"pets: {name} does not end with .csv, .tsv, .ndjson or .jsonl: choose a --format"
        f" (see pets {command[0]} --help)\n"
    )


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize("format_", FORMATS)
def test_an_export_says_how_many_pets_it_wrote(
    format_: str, capfd: pytest.CaptureFixture[str]
) -> None:
    """It says so beside the data, which another program may read."""
    assert main(["seed", "1200"]) == 0
    capfd.readouterr()
    assert main(["export", "--format", format_]) == 0
    printed = capfd.readouterr()
    assert printed.err == "pets: exported 1,200\n"
    assert printed.out.count("\n") == 1200 + (format_ != "ndjson")


@pytest.mark.usefixtures("sqlite")
def test_standard_input_is_ndjson_unless_an_option_says_otherwise(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "input"
    for lines, arguments in ((LINE, []), (TSV_LINES, ["--format", "tsv"])):
        file.write_bytes(lines)
        with file.open("rb") as opened:
            monkeypatch.setattr("pets.cli.importing.STANDARD_INPUT", opened.fileno())
            assert main(["import", "-", *arguments]) == 0
    assert exported(tmp_path).count(b"\n") == 2


BAD_FILE = (
    b"\xef\xbb\xbf"
    + LINE
    + b"\n"
    + LINE
    + b"{}\r\n"
    + LINE
    + b"x" * 3_000_000
    + b"\n"
    + LINE
    + b"\n \n"
)
BAD_LINES = [
    "2: is blank",
    "4: name is required; age is required; type is required",
    "6: is over 1 MiB",
]


@pytest.mark.usefixtures("url")
def test_all_bad_lines_are_reported_and_nothing_is_imported(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pets.ndjson"
    file.write_bytes(BAD_FILE)
    assert main(["import", str(file)]) == 1
    assert errors(capsys, file) == [*BAD_LINES, "pets: imported nothing; bad lines: 3"]
    assert exported(tmp_path) == b""


@pytest.mark.usefixtures("url")
def test_bad_lines_can_be_skipped(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    file = tmp_path / "pets.ndjson"
    file.write_bytes(BAD_FILE)
    assert main(["import", str(file), "--on-error", "skip"]) == 0
    assert errors(capsys, file) == [*BAD_LINES, "pets: imported 4, skipped 3"]
    assert exported(tmp_path).count(b"\n") == 4


NO_HEADER = (
    "the header must name each of name age type once, "
    "and may name no other than name age type id created_at"
)
CSV_WITH_LINE_BREAKS = b"""name,age,type
first,1,dog
"a
inner,2,dog

b",3,cat
fourth,4,dog
"never closed,5,dog
sixth,6,dog
"""


@pytest.mark.usefixtures("url")
def test_a_line_break_within_quotes_belongs_to_its_record(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """No inner line becomes a pet, and a skipped record is reported with its lines."""
    file = tmp_path / "pets.csv"
    file.write_bytes(CSV_WITH_LINE_BREAKS)
    assert main(["import", str(file), "--on-error", "skip"]) == 0
    *records, summary = errors(capsys, file)
    assert [record.partition(" ")[0] for record in records] == ["3:", "8:"]
    assert "name must be " in records[0]
    assert "(the record ends in line 6, because a value in quotes does)" in records[0]
    assert "cannot be read as CSV: a quote is missing" in records[1]
    assert summary == "pets: imported 2, skipped 2"
    names = [line.split(b",")[1] for line in exported(tmp_path, "--format", "csv").splitlines()]
    assert names == [b"name", b"first", b"fourth"]


@pytest.mark.thorough
@pytest.mark.usefixtures("url")
def test_an_unclosed_quote_is_rejected_in_little_memory(tmp_path: Path) -> None:
    """The file has 80 MB after the quote."""
    file = tmp_path / "pets.csv"
    line = b"x" * 992 + b",1,dog\n"
    file.write_bytes(b'name,age,type\nfirst,1,dog\n"' + line * 80_000)
    command = [*MEASURED, "import", str(file), "--on-error", "skip"]
    done = subprocess.run(command, capture_output=True, check=True)
    reason = "is over 1 MiB (the record ends in line 80003, because a value in quotes does)"
    assert done.stderr.decode() == f"pets: {file}:3: {reason}\npets: imported 1, skipped 1\n"
    assert int(done.stdout) < 120 * 1000


FROM_SPREADSHEETS = {
    "semicolons": b"Name;Age;Type\r\na, b;7;dog\r\n;;\r\nb;8;cat\r\n;;\r\n",
    "tabs": b"name\tage\ttype\na, b\t7\tdog\n\t\t\nb\t8\tcat\n",
    "Excel's line": b'\xef\xbb\xbfsep=;\r\n NAME;age ;type\r\n"a, b";7;dog\r\nb;8;cat\r\n',
    "commas": b'name,age,type\n"a, b",7,dog\n,,\nb,8,cat\n',
}


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize("content", FROM_SPREADSHEETS.values(), ids=FROM_SPREADSHEETS)
def test_csv_of_a_spreadsheet_is_imported(tmp_path: Path, content: bytes) -> None:
    file = tmp_path / "pets.csv"
    file.write_bytes(content)
    assert main(["import", str(file)]) == 0
    lines = exported(tmp_path).splitlines()
    assert [line.partition(b',"age')[0] for line in lines] == [
        b'{"id":1,"name":"a, b"',
        b'{"id":2,"name":"b"',
    ]


@pytest.mark.usefixtures("sqlite")
def test_the_lines_of_a_bad_record_count_those_that_are_skipped(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pets.csv"
    file.write_bytes(b"sep=;\nname;age;type\n;;\nboy;x;dog\n")
    assert main(["import", str(file)]) == 1
    assert errors(capsys, file)[0].startswith("4: age must be")


@pytest.mark.usefixtures("sqlite")
def test_an_export_for_spreadsheets_has_no_formulas(
    tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pets.csv"
    file.write_bytes(b"name,age,type\n=1+1,7,dog\n")
    assert main(["import", str(file)]) == 0
    capfd.readouterr()
    assert main(["export", "--format", "csv", "--excel"]) == 0
    header, record, _ = capfd.readouterr().out.split("\n")
    assert header == "\ufeffid,name,age,type,created_at"
    assert record.startswith("1,'=1+1,7,dog,")
    assert main(["export", "--excel"]) == 2
    assert "--excel needs --format csv" in capfd.readouterr().err


@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(("content", "header"), [(b"", ""), (b"name,age\nx,7\n", "name,age")])
def test_csv_without_a_header_is_not_imported(
    tmp_path: Path, content: bytes, header: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pets.csv"
    file.write_bytes(content)
    assert main(["import", str(file), "--on-error", "skip"]) == 1
    assert errors(capsys, file) == [
        f"1: {NO_HEADER}; it is {header!r}",
        "pets: imported nothing; bad lines: 1",
    ]


@pytest.mark.thorough
@pytest.mark.parametrize("format_", ["ndjson", "csv", "tsv"])
def test_pets_move_from_sqlite_to_postgresql_unchanged(
    tmp_path: Path, new_database: Callable[[str], str], use: Callable[[str], None], format_: str
) -> None:
    pets = some_pets(3000, first=5)
    delimited = FORMATS[format_]
    written = delimited.header + delimited.lines(pets) if delimited else ndjson_lines(pets)
    file = tmp_path / f"pets.{format_}"
    file.write_bytes(written)
    for kind in ("sqlite", "postgresql"):
        use(url := new_database(kind))
        assert main(["import", str(file), "--keep-ids"]) == 0
        assert main(["export", "--output", str(file)]) == 0
        assert file.read_bytes() == written
    with served(url) as service:
        assert create(service) == pets[-1].id + 1


@pytest.mark.thorough
@pytest.mark.parametrize("kinds", [("sqlite", "postgresql"), ("postgresql", "sqlite")])
@pytest.mark.parametrize("left", [0, 2])
def test_a_moved_store_gives_no_id_of_a_deleted_pet_again(
    tmp_path: Path,
    new_database: Callable[[str], str],
    use: Callable[[str], None],
    kinds: tuple[str, str],
    left: int,
) -> None:
    file = tmp_path / "pets.ndjson"
    source, target = map(new_database, kinds)
    use(source)
    file.write_bytes(ndjson_lines(some_pets(5)))
    assert main(["import", str(file), "--keep-ids"]) == 0
    asyncio.run(remove(source, range(left + 1, 6)))
    assert main(["export", "--output", str(file)]) == 0
    assert file.read_bytes().splitlines()[left:] == [b'{"last_id":5}']
    use(target)
    assert main(["import", str(file), "--keep-ids"]) == 0
    with served(target) as service:
        assert create(service) == 6


async def remove(url: str, ids: Iterable[int]) -> None:
    engine = create_config(parse_url(url)).get_engine()
    await SQLAlchemyPetRepository(engine).remove([*ids])
    await engine.dispose()


@pytest.mark.parametrize(
    "line", [b'{"last_id":0}', b'{"last_id":"5"}', b'{"last_id":9223372036854775808}']
)
@pytest.mark.usefixtures("sqlite")
def test_only_an_id_can_be_the_last(
    tmp_path: Path, line: bytes, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pets.ndjson"
    file.write_bytes(LINE + line + b"\n")
    assert main(["import", str(file)]) == 1
    assert errors(capsys, file)[0].startswith("2: ")


@pytest.mark.usefixtures("sqlite")
def test_an_import_that_keeps_no_ids_ignores_the_last_id(tmp_path: Path) -> None:
    file = tmp_path / "pets.ndjson"
    file.write_bytes(LINE + b'{"last_id":500}\n' + LINE)
    assert main(["import", str(file)]) == 0
    assert [json.loads(line)["id"] for line in exported(tmp_path).splitlines()] == [1, 2]


def create(service: Served) -> int:
    connection = http.client.HTTPConnection("127.0.0.1", service.port)
    connection.request("POST", "/pets/", LINE, {"content-type": "application/json"})
    response = connection.getresponse()
    response.read()
    connection.close()
    assert response.status == 201
    return int(response.headers["location"].rpartition("/")[2])


@pytest.mark.usefixtures("url")
def test_an_id_that_is_taken_is_a_bad_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pets.ndjson"
    file.write_bytes(ndjson_lines(some_pets(2)))
    assert main(["import", str(file), "--keep-ids"]) == 0
    file.write_bytes(ndjson_lines(some_pets(3, first=2) + some_pets(1, first=3)))
    for arguments, status, summary, number in (
        ([], 1, "imported nothing; bad lines: 2", 2),
        (["--on-error", "skip"], 0, "imported 2, skipped 2", 4),
    ):
        capsys.readouterr()
        assert main(["import", str(file), "--keep-ids", *arguments]) == status
        assert errors(capsys, file) == [
            "1: its id is taken",
            "4: its id is taken",
            f"pets: {summary}",
        ]
        assert exported(tmp_path).count(b"\n") == number


@pytest.mark.thorough
def test_a_service_keeps_writing_during_an_import(
    tmp_path: Path, url: str, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "pets.ndjson"
    file.write_bytes(ndjson_lines(some_pets(20_000, first=100_000)))
    created = []
    imported = threading.Event()

    with served(url) as service:

        def write() -> None:
            while not imported.is_set():
                created.append(create(service))

        writer = threading.Thread(target=write)
        writer.start()
        status = main(["import", str(file), "--keep-ids"])
        imported.set()
        writer.join()
        created.append(create(service))
    assert status == 0, capsys.readouterr().err
    assert created == sorted({*created})
    assert created[-1] > 119_999
    assert exported(tmp_path).count(b"\n") == 20_000 + len(created)


@pytest.mark.thorough
@pytest.mark.usefixtures("url")
@pytest.mark.parametrize(
    ("number", "on_error"), [(signal.SIGINT, "abort"), (signal.SIGTERM, "skip")]
)
def test_an_interrupted_import_keeps_no_pet(tmp_path: Path, number: int, on_error: str) -> None:
    command = [*COMMAND, "import", "-", "--on-error", on_error]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        assert process.stdin
        assert process.stderr
        # This is more than a pipe holds, so the import has begun when it is written.
        process.stdin.write(LINE * 50_000)
        process.stdin.flush()
        process.send_signal(number)
        assert process.wait(timeout=20) == 130
        assert process.stderr.read() == b"pets: interrupted; nothing was imported\n"
        process.stdin.close()
    assert exported(tmp_path) == b""


@pytest.fixture
def many(tmp_path: Path, url: str) -> Path:  # noqa: ARG001  # the store of the pets
    """A file of 20,000 pets that are in the store too."""
    file = tmp_path / "pets.ndjson"
    file.write_bytes(ndjson_lines(some_pets(20_000)))
    assert main(["import", str(file), "--keep-ids"]) == 0
    return file


@pytest.mark.thorough
def test_an_export_ends_quietly_when_its_reader_ends(many: Path) -> None:
    with many.open("rb") as file:
        first = file.readline()
    with subprocess.Popen(
        [*COMMAND, "export"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout
        assert process.stderr
        assert process.stdout.readline() == first
        process.stdout.close()
        assert (process.wait(timeout=20), process.stderr.read()) == (0, b"")


@pytest.mark.thorough
@pytest.mark.usefixtures("many")
def test_an_export_without_a_reader_can_be_interrupted() -> None:
    with subprocess.Popen(
        [*COMMAND, "export"], stdout=subprocess.PIPE, stderr=subprocess.PIPE, bufsize=0
    ) as process:
        assert process.stdout
        assert process.stderr
        process.stdout.read(1)
        process.send_signal(signal.SIGTERM)
        assert (process.wait(timeout=20), process.stderr.read()) == (130, b"pets: interrupted\n")


@pytest.mark.thorough
@pytest.mark.usefixtures("many")
def test_an_export_whose_reader_takes_nothing_is_ended(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Otherwise the store would keep all that others change meanwhile."""
    monkeypatch.setattr("pets.cli.exporting.READER_SECONDS", 0.5)
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = os.open(pipe, os.O_RDONLY | os.O_NONBLOCK)
    assert main(["export", "--output", str(pipe), "--format", "ndjson"]) == 1
    os.close(reader)
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pets: the reader of the output took nothing for ")


@pytest.mark.thorough
@pytest.mark.usefixtures("many")
def test_an_export_waits_for_its_disk_before_it_takes_its_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise a loss of power could leave an empty file, and take the former one."""
    target = tmp_path / "exported.ndjson"
    synced: list[tuple[bool, bool]] = []

    def fsync(number: int) -> None:
        is_folder = stat.S_ISDIR(os.fstat(number).st_mode)
        synced.append((is_folder, target.exists()))

    monkeypatch.setattr("os.fsync", fsync)
    exported(tmp_path)
    assert synced == [(False, False), (True, True)]


@pytest.mark.thorough
def test_an_export_has_exactly_the_chosen_pets(many: Path, tmp_path: Path) -> None:
    expected = []
    with many.open("rb") as file:
        for line in file:
            pet = json.loads(line)
            if pet["type"] == "cat" and 20 <= pet["age"] <= 30 and pet["name"] == "O'Malley":
                expected.append(line)
    assert expected
    choice = ["--type", "cat", "--age-min", "20", "--age-max", "30", "--name", "o'm"]
    assert exported(tmp_path, *choice).splitlines(keepends=True) == expected


@pytest.mark.thorough
@pytest.mark.usefixtures("many")
@pytest.mark.parametrize("permissions", [0o600, 0o664])
def test_an_export_keeps_the_permissions_of_its_file(tmp_path: Path, permissions: int) -> None:
    file = tmp_path / "exported.ndjson"
    file.touch()
    file.chmod(permissions)
    exported(tmp_path)
    assert stat.S_IMODE(file.stat().st_mode) == permissions


@pytest.mark.thorough
@pytest.mark.usefixtures("many")
def test_a_new_export_has_the_permissions_of_any_new_file(tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.touch()
    exported(tmp_path)
    assert (tmp_path / "exported.ndjson").stat().st_mode == other.stat().st_mode


@pytest.mark.thorough
@pytest.mark.usefixtures("many")
def test_concurrent_exports_to_one_file_do_not_interfere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """They do not even if their process ids are equal, as they may be in containers."""
    monkeypatch.setattr("os.getpid", lambda: 1)

    def export_meanwhile(pets: Sequence[Pet]) -> bytes:
        monkeypatch.setattr("pets.cli.exporting.ndjson_lines", ndjson_lines)
        with ThreadPoolExecutor() as pool:
            pool.submit(export).result()
        return ndjson_lines(pets)

    def export() -> None:
        settings = Settings.from_environment()
        with monkeypatch.context() as context:
            # Python allows signal handlers in the main thread only.
            context.setattr("signal.signal", lambda *_: None)
            export_pets(settings, PetQuery(), str(tmp_path / "exported.ndjson"), None)

    before = exported(tmp_path)
    monkeypatch.setattr("pets.cli.exporting.ndjson_lines", export_meanwhile)
    assert exported(tmp_path) == before
    assert {path.name for path in tmp_path.iterdir()} == {"exported.ndjson", "pets.ndjson"}


@pytest.mark.thorough
@pytest.mark.usefixtures("many")
def test_a_failed_export_leaves_its_file_unchanged(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = exported(tmp_path)

    def fail(_: object) -> bytes:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("pets.cli.exporting.ndjson_lines", fail)
    assert main(["export", "--output", str(tmp_path / "exported.ndjson")]) == 1
    assert (tmp_path / "exported.ndjson").read_bytes() == before
    assert {path.name for path in tmp_path.iterdir()} == {"exported.ndjson", "pets.ndjson"}


@pytest.mark.thorough
@pytest.mark.parametrize("arguments", [["import", "{many}"], ["export", "--output", "{output}"]])
def test_on_a_terminal_a_bar_shows_progress(
    many: Path, tmp_path: Path, arguments: list[str]
) -> None:
    files = {"many": many, "output": tmp_path / "exported.ndjson"}
    controller, terminal = pty.openpty()
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    command = [*COMMAND, *(argument.format_map(files) for argument in arguments)]
    with subprocess.Popen(command, stderr=terminal, env=environment) as process:
        os.close(terminal)
        shown = b"".join(_read_all(controller))
        assert process.wait(timeout=20) == 0
    assert b"20,000 pets" in shown
    assert b"/s" in shown


def _read_all(terminal: int) -> Iterator[bytes]:
    with io.FileIO(terminal) as file:
        while True:
            try:
                yield file.read(1000) or b""
            except OSError:  # The other end was closed.
                return


# The process itself prints its peak of memory, because the peak that the kernel reports after its
# end includes that of its parent.
PRINT_PEAK = r"""
import re, sys
from pets.cli.main import main
status = main(sys.argv[1:])
print(re.search(r"VmHWM:\s+(\d+)", open("/proc/self/status").read())[1])
sys.exit(status)
"""
MEASURED = [sys.executable, "-c", PRINT_PEAK]


needs_proc = pytest.mark.skipif(sys.platform != "linux", reason="the peak of memory is in /proc")


def peak(*arguments: str) -> int:
    """Run a command and return its peak of memory in kB."""
    done = subprocess.run([*MEASURED, *arguments], stdout=subprocess.PIPE, check=True)
    return int(done.stdout)


@pytest.fixture
def small_and_large(tmp_path: Path) -> tuple[str, str]:
    """Files of 2,000 and of 50,000 pets, which would take 9,000 kB of memory."""
    small, large = tmp_path / "small.csv", tmp_path / "large.csv"
    pets = CSV.lines(some_pets(2000))
    small.write_bytes(CSV.header + pets)
    large.write_bytes(CSV.header + pets * 25)
    return str(small), str(large)


@pytest.mark.thorough
@needs_proc
def test_an_import_does_not_keep_pets_in_memory(url: str, small_and_large: tuple[str, str]) -> None:
    small, large = small_and_large
    # SQLite itself keeps its indexes in memory, which take 17,000 kB here.
    bound = 20_000 if url.startswith("sqlite") else 4_000
    assert main(["migrate"]) == 0  # Alembic takes 9,000 kB of a command that migrates.
    assert peak("import", large) - peak("import", small) < bound


@pytest.mark.thorough
@needs_proc
@pytest.mark.usefixtures("url")
def test_an_export_does_not_keep_pets_in_memory(
    tmp_path: Path, small_and_large: tuple[str, str]
) -> None:
    small, large = small_and_large
    output = str(tmp_path / "exported.csv")
    assert main(["import", small]) == 0
    first = peak("export", "--output", output)
    assert main(["import", large]) == 0
    assert peak("export", "--output", output) - first < 4_000


@pytest.fixture
def sqlite(tmp_path: Path, use: Callable[[str], None]) -> None:
    use(f"sqlite+aiosqlite:///{tmp_path / 'pets.db'}")


@pytest.mark.usefixtures("sqlite")
@pytest.mark.parametrize(
    ("arguments", "status", "line"),
    [
        (["import", "nowhere.csv"], 1, "pets: nowhere.csv: No such file or directory"),
        (["import", "/", "--format", "csv"], 1, "pets: /: Is a directory"),
        (
            ["export", "--output", "/nowhere/pets.csv"],
            1,
            "pets: /nowhere/pets.csv: No such file or directory",
        ),
        (["export", "--age-min", "101"], 2, "pets: --age-min must be an integer from 0 to 100"),
        (
            ["export", "--name", ""],
            2,
            "pets: --name must be 1 to 100 characters, none of them a control character",
        ),
    ],
)
def test_a_mistake_of_the_user_is_reported_in_one_line(
    arguments: list[str], status: int, line: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == status
    assert capsys.readouterr().err == f"{line}\n"


@pytest.mark.parametrize("arguments", [["import", "-"], ["export"], ["check-counts"]])
def test_a_store_in_memory_can_be_neither_read_nor_filled(
    arguments: list[str], use: Callable[[str], None], capsys: pytest.CaptureFixture[str]
) -> None:
    use("memory://")
    assert main(arguments) == 2
    assert capsys.readouterr().err.startswith("pets: PETS_DATABASE_URL: ")
