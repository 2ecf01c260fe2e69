"""API keys in a file: `pets keys`, and a service that reads the file."""

import hashlib
import io
import os
import resource
import signal
import stat
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from pets.api import api_keys
from pets.api.api_keys import ApiKey, KeyFile, KeyScope, parse_keys
from pets.cli.keys import make_key, revoke_key
from pets.cli.main import main
from tests.integration.served import COMMAND, Served, served, start

LINE = ApiKey.of("reader", KeyScope.READ, "secret").to_line()
OTHER = ApiKey.of("other", KeyScope.READ, "another secret").to_line() + "\n"


def keys_new(*arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [*COMMAND, "keys", "new", *arguments], capture_output=True, text=True, check=False
    )


def secret_in(printed: str) -> str:
    return printed.split()[1]


def status_of(service: Served, secret: str) -> int:
    return service.request("GET", "/pets/", headers={"X-API-Key": secret}).status_code


def wait_for_status(service: Served, secret: str, status: int) -> None:
    deadline = time.monotonic() + 10
    while status_of(service, secret) != status:
        assert time.monotonic() < deadline


def test_a_new_key_is_printed_with_its_line() -> None:
    done = keys_new("reports", "--scope", "read")
    key, line = done.stdout.splitlines()
    digest = hashlib.sha256(secret_in(key).encode()).hexdigest()
    assert line == f"line: reports read {digest}"
    assert (done.returncode, done.stderr) == (0, "")


def test_the_line_of_a_new_key_goes_to_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(LINE)  # without an end of line
    done = keys_new("reports", "--scope", "write", "--file", str(file))
    digest = hashlib.sha256(secret_in(done.stdout).encode()).hexdigest()
    assert file.read_text() == f"{LINE}\nreports write {digest}\n"


def test_keys_that_are_made_at_once_are_all_in_the_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    names = [f"key{number}" for number in range(6)]
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: make_key(name, KeyScope.READ, str(file)), names))
    assert sorted(key.name for key in parse_keys(file.read_text())) == names
    assert list(tmp_path.iterdir()) == [file]


def test_a_new_key_keeps_the_link_and_the_rights_of_the_file(tmp_path: Path) -> None:
    file, link = tmp_path / "keys", tmp_path / "link"
    file.write_text(f"{LINE}\n")
    file.chmod(0o640)
    os.chown(file, -1, max(os.getgroups(), default=-1))
    before = file.stat()
    link.symlink_to(file)
    make_key("reports", KeyScope.READ, str(link))
    after = file.stat()
    assert link.is_symlink()
    assert len(parse_keys(file.read_text())) == 2
    assert (after.st_mode, after.st_uid, after.st_gid) == (
        (before.st_mode, before.st_uid, before.st_gid)
    )


@pytest.mark.parametrize("disk", ["full", "unreadable output"])
def test_a_key_that_cannot_be_stored_or_shown_changes_nothing(disk: str, tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{LINE}\n")
    command = [*COMMAND, "keys", "new", "reports", "--scope", "read", "--file", str(file)]

    def prepare() -> None:
        if disk == "full":  # A file of this process may have no more bytes.
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (100, 100))
        else:
            os.dup2(os.open("/dev/full", os.O_WRONLY), 1)

    done = subprocess.run(command, capture_output=True, text=True, preexec_fn=prepare, check=False)
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1
    assert file.read_text() == f"{LINE}\n"
    assert list(tmp_path.iterdir()) == [file]


def test_only_its_owner_may_read_a_new_file(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    keys_new("reports", "--scope", "write", "--file", str(file))
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


@pytest.mark.parametrize(
    ("arguments", "status"),
    [
        (["a b", "--scope", "read"], 2),
        (["reports"], 2),
        (["reports", "--scope", "admin"], 2),
        (["reader", "--scope", "read", "--file", "keys"], 1),
        (["reports", "--scope", "read", "--file", "broken"], 1),
        (["reports", "--scope", "read", "--file", "latin"], 1),
        (["reports", "--scope", "read", "--file", "no/keys"], 1),
        (["reports", "--scope", "read", "--file", "/dev/null"], 1),
    ],
)
def test_a_key_that_cannot_be_made_is_one_line(
    arguments: list[str], status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("keys").write_text(f"{LINE}\n")
    Path("broken").write_text("hunter2\n")
    Path("latin").write_bytes(b"# \xe9\n")
    done = keys_new(*arguments)
    assert (done.returncode, done.stdout) == (status, "")
    (line,) = done.stderr.splitlines()
    assert "hunter2" not in line
    assert Path("keys").read_text() == f"{LINE}\n"


WHOLE = f"# our keys\n{LINE}\n\n{OTHER}"


@pytest.fixture
def keys(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The file of `PETS_API_KEYS_FILE`, with two keys."""
    file = tmp_path / "keys"
    file.write_text(WHOLE)
    monkeypatch.setenv("PETS_API_KEYS_FILE", str(file))
    return file


def test_a_new_key_goes_to_the_file_of_the_service(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "new", "reports", "--scope", "read"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 1
    assert keys.read_text().startswith(f"{WHOLE}reports read ")


@pytest.mark.usefixtures("keys")
def test_a_list_shows_names_and_scopes_and_nothing_else(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert main(["keys", "list"]) == 0
    assert capsys.readouterr() == ("reader  read\nother   read\n", "")


def test_a_revoked_key_loses_its_line_and_all_else_stays(
    keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    keys.chmod(0o640)
    assert main(["keys", "revoke", "reader"]) == 0
    assert capsys.readouterr() == ("", "pets: revoked reader\n")
    assert keys.read_text() == f"# our keys\n\n{OTHER}"
    assert stat.S_IMODE(keys.stat().st_mode) == 0o640


def test_an_option_names_another_file(
    keys: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    copy = tmp_path / "copy"
    copy.write_text(WHOLE)
    assert main(["keys", "revoke", "reader", "--file", str(copy)]) == 0
    assert (keys.read_text(), copy.read_text()) == (WHOLE, f"# our keys\n\n{OTHER}")
    capsys.readouterr()
    assert main(["keys", "list", "--file", str(copy)]) == 0
    assert capsys.readouterr().out == "other  read\n"


@pytest.mark.parametrize("name", ["absent", "READER", "#", "read", ""])
def test_a_key_that_is_not_there_cannot_be_revoked(
    name: str, keys: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["keys", "revoke", name]) == 1
    assert capsys.readouterr().err == f"pets: {keys}: there is no key {name!r}\n"
    assert keys.read_text() == WHOLE


def test_the_only_key_cannot_be_revoked(keys: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A service would take the file for a broken one, and accept the key for ever."""
    keys.write_text(OTHER)
    assert main(["keys", "revoke", "other"]) == 1
    assert "the only key" in capsys.readouterr().err
    assert keys.read_text() == OTHER


@pytest.mark.parametrize("arguments", [["list"], ["revoke", "reader"]], ids=" ".join)
@pytest.mark.parametrize(
    ("file", "status"), [("", 2), ("absent", 1), ("/", 1), ("/dev/null", 1), ("broken", 1)]
)
def test_a_file_of_keys_that_cannot_be_used_is_one_line(
    arguments: list[str], file: str, status: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path("broken").write_text(f"{LINE}\nhunter2\n")
    monkeypatch.setenv("PETS_API_KEYS_FILE", file)
    printed = io.StringIO()
    with redirect_stderr(printed):
        assert main(["keys", *arguments]) == status
    (line,) = printed.getvalue().splitlines()
    assert "hunter2" not in line
    assert [path.name for path in tmp_path.iterdir()] == ["broken"]


def test_keys_that_are_revoked_at_once_are_all_gone(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    names = [f"key{number}" for number in range(6)]
    for name in names:
        make_key(name, KeyScope.READ, str(file))
    with ThreadPoolExecutor() as pool:
        list(pool.map(lambda name: revoke_key(name, str(file)), names[1:]))
    assert [key.name for key in parse_keys(file.read_text())] == names[:1]
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.usefixtures("settled")
def test_a_running_service_refuses_a_revoked_key(keys: Path) -> None:
    running = KeyFile(str(keys))
    revoke_key("reader", str(keys))
    assert running.find(b"secret") is None
    assert running.find(b"another secret")


@pytest.mark.thorough
@pytest.mark.parametrize("text", ["hunter2", "reader read \udcff", "", "# none\n", LINE, None])
def test_a_broken_file_is_one_line_and_exit_status_2(tmp_path: Path, text: str | None) -> None:
    file = tmp_path / "keys"
    if text is not None:
        file.write_bytes(os.fsencode(text))
    with start("serve", database_url="memory://", PETS_API_KEYS_FILE=str(file)) as process:
        _, printed = process.communicate(timeout=30)
    (line,) = printed.splitlines()
    assert process.returncode == 2
    assert line.startswith(f"pets: PETS_API_KEYS_FILE: {file}")
    assert "hunter2" not in line


@pytest.mark.thorough
def test_a_service_heeds_changes_of_the_file_and_survives_a_broken_one(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    first = secret_in(keys_new("first", "--scope", "read", "--file", str(file)).stdout)
    with served("memory://", PETS_API_KEYS_FILE=str(file)) as service:
        assert status_of(service, first) == 200
        second = secret_in(keys_new("second", "--scope", "read", "--file", str(file)).stdout)
        wait_for_status(service, second, 200)

        new = tmp_path / "new"
        new.write_text(file.read_text().splitlines(keepends=True)[1])
        new.rename(file)
        wait_for_status(service, first, 401)
        assert status_of(service, second) == 200

        file.write_text("hunter2")
        with ThreadPoolExecutor() as pool:
            line = pool.submit(service.wait_for_line, "The API keys stay as they were")
            while not line.done():
                assert status_of(service, second) == 200
        assert status_of(service, second) == 200
        assert "line 1" in line.result()
        assert "hunter2" not in line.result()


@pytest.mark.thorough
def test_a_new_worker_has_the_last_good_keys_of_a_file_that_is_broken(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    old = secret_in(keys_new("old", "--scope", "read", "--file", str(file)).stdout)
    with served("memory://", PETS_API_KEYS_FILE=str(file)) as service:
        file.unlink()
        new = secret_in(keys_new("new", "--scope", "read", "--file", str(file)).stdout)
        service.wait_for_line("were read again")  # The parent looks though no request comes.
        file.write_text("hunter2")
        service.wait_for_line("stay as they were")
        service.process.send_signal(signal.SIGHUP)
        service.wait_for_line("Finished server process")
        assert (status_of(service, old), status_of(service, new)) == (401, 200)


@pytest.fixture
def settled(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let a change of the file be noticed at once."""
    monkeypatch.setattr(api_keys, "CHECK_SECONDS", 0)
    monkeypatch.setattr(api_keys, "SETTLE_SECONDS", 0)


@pytest.mark.usefixtures("settled")
def test_a_file_that_is_gone_leaves_its_keys_valid(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    file = tmp_path / "keys"
    file.write_text(f"{LINE}\n")
    keys = KeyFile(str(file))
    file.unlink()
    for _ in range(3):
        found = keys.find(b"secret")
        assert found
        assert found.name == "reader"
    assert len(caplog.records) == 1
    file.write_text(OTHER)
    assert keys.find(b"secret") is None


@pytest.mark.usefixtures("settled")
def test_a_file_of_which_only_a_part_is_written_leaves_its_keys_valid(tmp_path: Path) -> None:
    """A part that ends with a line is not told from a file that is complete."""
    file = tmp_path / "keys"
    whole = f"# our keys\n{OTHER}{LINE}\n"
    file.write_text(whole)
    keys = KeyFile(str(file))
    for size in range(len(whole)):
        if size != len(f"# our keys\n{OTHER}"):
            file.write_text(whole[:size])
            assert keys.find(b"secret"), size


def test_a_file_that_has_just_changed_is_not_read_yet(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It may still be being written."""
    monkeypatch.setattr(api_keys, "CHECK_SECONDS", 0)
    file = tmp_path / "keys"
    file.write_text(f"{LINE}\n")
    keys = KeyFile(str(file))
    file.write_text(OTHER)
    assert keys.find(b"secret")
    before = time.time() - api_keys.SETTLE_SECONDS
    os.utime(file, (before, before))
    assert not keys.find(b"secret")


@pytest.mark.parametrize("changed", [-1000, 1000])
def test_a_clock_that_was_set_does_not_hide_a_change(
    changed: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(api_keys, "CHECK_SECONDS", 0)
    file = tmp_path / "keys"
    file.write_text(f"{LINE}\n")
    keys = KeyFile(str(file))
    file.write_text(OTHER)
    os.utime(file, (time.time() + changed, time.time() + changed))
    assert not keys.find(b"secret")
