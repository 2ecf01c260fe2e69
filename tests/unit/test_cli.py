"""The command line: its arguments, settings and exit codes."""

import json
import re
from collections.abc import Iterator
from enum import StrEnum
from importlib.metadata import version

import click
import pytest

from pets.api.api_keys import KeyScope
from pets.cli.main import main, pets_group
from pets.domain.pet import PetType
from pets.settings import Settings, SettingsError, variable_of, wants_traces


def test_openapi_prints_the_document(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["openapi"]) == 0
    assert json.loads(capsys.readouterr().out)["info"]["title"] == "Pets"


@pytest.mark.parametrize(
    "arguments",
    [
        ["frobnicate"],
        ["keys", "frobnicate"],
        ["serve", "--port", "http"],
        ["serve", "--frobnicate"],
        ["migrate", "--port", "1"],
    ],
)
def test_wrong_use_exits_2_with_one_line(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(arguments) == 2
    assert len(capsys.readouterr().err.splitlines()) == 1


@pytest.mark.parametrize("group", [[], ["keys"]], ids=["pets", "pets keys"])
def test_a_group_alone_shows_its_commands_and_exits_2(
    group: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*group, "--help"]) == 0
    help_ = capsys.readouterr().out
    assert main(group) == 2
    assert capsys.readouterr() == ("", help_)


def every_command(group: click.Group, *path: str) -> Iterator[tuple[str, ...]]:
    yield path
    for name, command in group.commands.items():
        if isinstance(command, click.Group):
            yield from every_command(command, *path, name)
        else:
            yield *path, name


@pytest.mark.parametrize("command", [*every_command(pets_group)], ids=" ".join)
def test_no_help_shows_a_name_of_the_code(
    command: tuple[str, ...], capsys: pytest.CaptureFixture[str]
) -> None:
    """Such as `_TEXT` for a function that checks a value, or `KeyScope.READ`."""
    assert main([*command, "--help"]) == 0
    printed = capsys.readouterr().out
    assert re.findall(r"\b_\w+|\w+\.[A-Z]+\b", printed) == []


@pytest.mark.parametrize(
    ("number", "status"), [("0", 2), ("1", 0), ("999999", 0), ("1000000", 0), ("1000001", 2)]
)
def test_a_seed_adds_up_to_a_million_pets(
    number: str, status: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pets.cli.seeding.seed_store", lambda *_: None)
    assert main(["seed", number]) == status


def test_help_lists_every_command(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--help"]) == 0
    printed = capsys.readouterr().out
    for word in ("serve", "migrate", "openapi", "PETS_DATABASE_URL"):
        assert word in printed


@pytest.mark.parametrize(
    ("command", "option", "values"),
    [(["keys", "new"], "scope", KeyScope), (["export"], "type", PetType)],
    ids=["scope", "type"],
)
def test_an_option_offers_all_values(
    command: list[str], option: str, values: type[StrEnum], capsys: pytest.CaptureFixture[str]
) -> None:
    """The command names them itself, because to load them takes time at each start."""
    assert main([*command, "--help"]) == 0
    (offered,) = re.findall(rf"--{option} \[(.*)\]", capsys.readouterr().out)
    assert offered.split("|") == [*values]


def test_the_version_is_that_of_the_package(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--version"]) == 0
    assert capsys.readouterr().out == f"pets {version('pets')}\n"


@pytest.mark.parametrize(
    ("line", "completions"),
    [
        ("pets op", ["plain,openapi"]),
        ("pets se", ["plain,seed", "plain,serve"]),
        ("pets keys ", ["plain,list", "plain,new", "plain,revoke"]),
        ("pets keys new x --scope ", ["plain,read", "plain,write"]),
        ("pets keys revoke x --file ", ["file,"]),
        ("pets export --type ", ["plain,cat", "plain,dog"]),
        ("pets import ", ["file,"]),
        ("pets import --format ", ["plain,csv", "plain,ndjson", "plain,tsv"]),
        ("pets --version op", ["plain,openapi"]),
        ("pets export --output ", ["file,"]),
    ],
)
def test_a_shell_can_complete_a_line(
    line: str,
    completions: list[str],
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    words = line.split(" ")
    monkeypatch.setenv("_PETS_COMPLETE", "bash_complete")
    monkeypatch.setenv("COMP_WORDS", line)
    monkeypatch.setenv("COMP_CWORD", str(len(words) - 1))
    with pytest.raises(SystemExit, match="0"):
        main([])
    assert sorted(capsys.readouterr().out.split()) == completions


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("PETS_DATABASE_URL", "hunter2"),
        ("PETS_DATABASE_URL", "mysql://pets:hunter2@localhost/pets"),
        ("PETS_DATABASE_URL", "postgresql+psycopg://pets:hunter2@localhost/pets"),
        ("PETS_DATABASE_URL", "postgresql://pets:hunter2@localhost:http/pets"),
        ("PETS_DATABASE_URL", "postgresql://pets:hunter2@localhost:70000/pets"),
        ("PETS_DATABASE_URL", "postgresql://pets:hun@ter2@localhost/pets"),
        ("PETS_DATABASE_URL", "sqlite:///pets.db?timeout=hunter2"),
        ("PETS_DATABASE_URL", "sqlite://"),
        ("PETS_DATABASE_URL", "sqlite:///a?b.db"),
        ("PETS_DATABASE_URL", "sqlite:///a?"),
        ("PETS_DATABASE_URL", "sqlite://host/pets.db"),
        ("PETS_DATABASE_URL", "sqlite://pets:hunter2@/pets.db"),
        ("PETS_DATABASE_URL", "sqlite:///\udcff.db"),
        ("PETS_HOST", "\udcff"),
        ("PETS_DATABASE_URL", "sqlite+aiosqlite:///:memory:"),
        ("PETS_DATABASE_URL", "memory:"),
        ("PETS_PORT", "http"),
        ("PETS_PORT", "-1"),
        ("PETS_PORT", "65536"),
        ("PETS_WORKERS", "many"),
        ("PETS_WORKERS", "0"),
        ("PETS_STARTUP_TIMEOUT", "-1"),
        ("PETS_STARTUP_TIMEOUT", "3601"),
        ("PETS_DATABASE_URL", "sqlite:///pets\n.db"),
        ("PETS_API_KEYS_FILE", "a\tfile"),
        ("PETS_HOST", "tcp://10.0.0.1:3000"),
    ],
)
def test_an_invalid_setting_is_one_line_and_exit_code_2(
    variable: str, value: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """The line names the setting and shows no password, nor a part of one."""
    monkeypatch.setenv(variable, value)
    assert main(["serve"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert variable in line
    assert "hunter2" not in line
    assert "ter2" not in line


@pytest.mark.parametrize(
    ("variables", "flags"),
    [
        ({"PETS_PORT": "http"}, ["--port", "3001"]),
        ({"PETS_WORKERS": "2", "PETS_DATABASE_URL": "memory://"}, ["--workers", "1"]),
        ({"PETS_HOST": "nowhere.invalid"}, ["--host", "127.0.0.1"]),
    ],
)
def test_flags_override_environment_variables(
    variables: dict[str, str], flags: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    started: list[Settings] = []
    monkeypatch.setattr("pets.bootstrap.service.serve", started.append)
    monkeypatch.setattr("pets.cli.waiting.migrate", lambda *_: None)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", *flags]) == 0
    (settings,) = started
    assert str(getattr(settings, flags[0].removeprefix("--"))) == flags[1]


def test_a_store_in_memory_allows_one_process_only() -> None:
    with pytest.raises(SettingsError, match="memory://"):
        Settings(database_url="memory://", workers=2)


def test_the_environment_provides_every_setting() -> None:
    environment = {
        "PETS_DATABASE_URL": "memory://",
        "PETS_HOST": "::1",
        "PETS_PORT": "80",
        "PETS_WORKERS": "1",
    }
    assert Settings.from_environment(environment) == Settings(
        database_url="memory://", host="::1", port=80, workers=1
    )


@pytest.mark.parametrize("space", [" ", "\n", "\r\n", "\t", "\xa0"])
def test_white_space_around_a_value_does_not_count(space: str) -> None:
    values = {
        "database_url": "sqlite:///pets.db",
        "host": "::1",
        "port": "80",
        "api_keys_file": "keys",
        "allowed_hosts": "a,b",
        "access_log": "true",
    }
    plain = {variable_of(name): value for name, value in values.items()}
    padded = {variable: f"{space}{value}{space}" for variable, value in plain.items()}
    assert Settings.from_environment(padded) == Settings.from_environment(plain)


def test_a_value_of_white_space_counts_as_not_set() -> None:
    assert Settings.from_environment({"PETS_PORT": "\n", "PETS_HOST": " "}) == Settings()


def test_white_space_around_a_standard_variable_does_not_count() -> None:
    assert wants_traces({"OTEL_TRACES_EXPORTER": "otlp\n"})
    assert not wants_traces({"OTEL_TRACES_EXPORTER": " none"})
    assert not wants_traces({"OTEL_EXPORTER_OTLP_ENDPOINT": "\n"})


def service_links(name: str, address: str) -> dict[str, str]:
    """Return what Kubernetes tells each container about a Service with two ports."""
    url = f"[{address}]" if ":" in address else address
    return {
        f"{name}_SERVICE_HOST": address,
        f"{name}_SERVICE_PORT": "3000",
        f"{name}_SERVICE_PORT_HTTP": "3000",
        f"{name}_PORT": f"tcp://{url}:3000",
        f"{name}_PORT_3000_TCP": f"tcp://{url}:3000",
        f"{name}_PORT_3000_TCP_PROTO": "tcp",
        f"{name}_PORT_3000_TCP_PORT": "3000",
        f"{name}_PORT_3000_TCP_ADDR": address,
        f"{name}_PORT_53_UDP": f"udp://{url}:53",
    }


@pytest.mark.parametrize("address", ["10.0.0.1", "fd00::1"])
@pytest.mark.parametrize("name", ["PETS", "PETS_METRICS", "PETS_DATABASE", "PETS_HOST"])
def test_what_kubernetes_sets_for_a_service_is_no_setting(name: str, address: str) -> None:
    assert Settings.from_environment(service_links(name, address)) == Settings()


@pytest.mark.parametrize("protocol", ["udp", "sctp"])
def test_the_protocol_of_a_service_does_not_matter(protocol: str) -> None:
    assert Settings.from_environment({"PETS_PORT": f"{protocol}://10.0.0.1:53"}) == Settings()


def test_defaults_are_the_file_pets_db_and_port_3000() -> None:
    settings = Settings.from_environment({})
    assert (settings.database_url, settings.host, settings.port) == (
        "sqlite+aiosqlite:///pets.db",
        "127.0.0.1",
        3000,
    )
