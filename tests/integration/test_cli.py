import pytest

from pets.cli import main


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://pets:hunter2@127.0.0.1:1/pets",
        "postgres://pets:hunter2@127.0.0.1:1/pets?sslmode=disable",
        "postgresql+asyncpg://pets:hunter2@127.0.0.1:1/pets?frobnicate=1",
        "postgresql://pets:hunter2@nowhere.invalid/pets",
        "sqlite+aiosqlite:////nowhere/pets.db",
    ],
)
@pytest.mark.parametrize("command", ["serve", "migrate"])
def test_a_store_that_cannot_be_reached_exits_1_with_one_line_that_names_the_setting_and_no_password(
    url: str, command: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", url)
    assert main([command]) == 1
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("pets: PETS_DATABASE_URL: cannot use ")
    assert "hunter2" not in line
