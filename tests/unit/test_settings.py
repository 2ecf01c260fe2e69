"""Values of settings, and variables that are no settings."""

import json

import pytest

from pets.cli.main import main
from pets.settings import Settings, SettingsError, unknown_variables
from tests.unit.test_cli import service_links

Capture = pytest.CaptureFixture[str]


@pytest.fixture
def misspelt(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", "memory://")
    monkeypatch.setenv("PETS_PROT", "3001")
    monkeypatch.setenv("PETS_XYZ", "1")


@pytest.mark.parametrize(
    ("variable", "nearest"),
    [
        ("PETS_PROT", "PETS_PORT"),
        ("PETS_port", "PETS_PORT"),
        ("PETS_DB_URL", "PETS_DATABASE_URL"),
        ("PETS_LOGLEVEL", "PETS_LOG_LEVEL"),
        ("PETS_XYZ", ""),
    ],
)
def test_the_setting_that_was_probably_meant_is_found(variable: str, nearest: str) -> None:
    environment = {variable: "1", "PETS_WORKERS": "1", "PORT": "1"}
    assert list(unknown_variables(environment)) == [(variable, nearest)]


@pytest.mark.parametrize("name", ["PETS", "PETS_METRICS", "PETS_DB_RW"])
def test_what_kubernetes_sets_for_a_service_is_not_misspelt(name: str) -> None:
    assert list(unknown_variables(service_links(name, "10.0.0.1"))) == []


def test_what_is_empty_or_of_the_tests_is_not_misspelt() -> None:
    environment = {
        "PETS_PROT": " ",
        "PETS_TEST_DATABASE_URL": "postgresql://db/pets",
        "PETS_BENCH_DATABASE_URL": "postgresql://db/pets",
    }
    assert list(unknown_variables(environment)) == []


@pytest.mark.usefixtures("misspelt")
def test_a_service_warns_once_of_a_variable_that_has_no_effect(
    monkeypatch: pytest.MonkeyPatch, capsys: Capture
) -> None:
    monkeypatch.setattr("pets.bootstrap.service.serve", lambda _: None)
    monkeypatch.setattr("pets.cli.waiting.migrate", lambda *_: None)
    assert main(["serve"]) == 0
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["level"], line["event"]) for line in lines] == [
        ("warning", "PETS_PROT is not a setting. Did you mean PETS_PORT?"),
        ("warning", "PETS_XYZ is not a setting."),
    ]


@pytest.mark.usefixtures("misspelt")
def test_the_doctor_names_a_variable_that_has_no_effect(capsys: Capture) -> None:
    assert main(["doctor"]) == 0
    assert capsys.readouterr().out.splitlines()[-2:] == [
        "PETS_PROT              is not a setting; PETS_PORT is",
        "PETS_XYZ               is not a setting",
    ]


@pytest.mark.parametrize("level", ["info", "INFO", "Info"])
def test_the_case_of_a_level_does_not_matter(level: str) -> None:
    assert Settings.from_environment({"PETS_LOG_LEVEL": level}) == Settings(log_level="info")


@pytest.mark.parametrize(
    ("text", "meaning"),
    [
        *((text, True) for text in ("1", "true", "yes", "on", "TRUE", "Yes")),
        *((text, False) for text in ("0", "false", "no", "off", "OFF", "False")),
    ],
)
def test_a_switch_takes_the_usual_words_in_any_case(text: str, meaning: bool) -> None:  # noqa: FBT001  # pytest gives it.
    assert Settings.from_environment({"PETS_ACCESS_LOG": text}).access_log is meaning


@pytest.mark.parametrize(
    ("variable", "known"), [("PETS_ACCESS_LOG", "true"), ("PETS_LOG_LEVEL", "info")]
)
def test_another_word_is_refused_and_some_good_ones_are_named(variable: str, known: str) -> None:
    with pytest.raises(SettingsError, match=f"{variable}: 'maybe' is none of .*{known}"):
        Settings.from_environment({variable: "maybe"})


@pytest.mark.parametrize(
    "origin",
    [
        "*",
        "null",
        "https://example.org",
        "HTTPS://Example.org:443",
        "http://localhost:5173",
        "https://[::1]:3000",
        "capacitor://localhost",
        "tauri://localhost",
        "chrome-extension://abcdefgh",
        "https://*.example.org",
        "https://*.localhost:8443",
    ],
)
def test_an_origin_of_any_scheme_can_be_named(origin: str) -> None:
    assert Settings(cors_origins=f"https://example.com, {origin}").cors_origins.endswith(origin)


@pytest.mark.parametrize(
    "origin",
    [
        "example.org",
        "https://example.org/",
        "https://example.org/path",
        "https://user@example.org",
        "https://",
        "://example.org",
        "https://example.org:",
        "https://*",
        "https://*.",
        "https://*.*.example.org",
        "https://a.*.example.org",
        "https://a*.example.org",
        "https://*example.org",
        "https://*.example.org.",
        "https://*.[::1]",
        "*://example.org",
        "*.example.org",
        "nul",
    ],
)
def test_what_is_no_origin_is_refused_and_named(origin: str) -> None:
    with pytest.raises(SettingsError) as caught:
        Settings(cors_origins=f"https://example.com, {origin}")
    assert str(caught.value) == (
        f"PETS_CORS_ORIGINS: {origin!r} is not *, null, or like https://example.org, "
        "https://*.example.org or app://localhost"
    )
