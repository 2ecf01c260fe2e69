"""The command `pets seed`, over both databases."""

import json
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from pets.cli import seeding
from pets.cli.main import main
from pets.domain.pet import NewPet
from pets.settings import Settings
from tests.integration.served import served


@pytest.fixture
def url(empty_database_url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty database, which no command has migrated yet."""
    monkeypatch.setenv("PETS_DATABASE_URL", empty_database_url)
    return empty_database_url


@pytest.fixture
def sqlite(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", f"sqlite:///{tmp_path / 'pets.db'}")


def exported(capfd: pytest.CaptureFixture[str]) -> list[dict[str, object]]:
    capfd.readouterr()
    assert main(["export"]) == 0
    return [json.loads(line) for line in capfd.readouterr().out.splitlines()]


@pytest.mark.usefixtures("url")
def test_an_empty_database_is_migrated_and_gets_100_pets(
    capfd: pytest.CaptureFixture[str],
) -> None:
    assert main(["seed"]) == 0
    assert capfd.readouterr() == ("", "pets: added 100\n")
    assert [pet["id"] for pet in exported(capfd)] == [*range(1, 101)]
    assert main(["check-counts"]) == 0


@pytest.mark.usefixtures("sqlite")
def test_the_same_seed_adds_the_same_pets_again(capfd: pytest.CaptureFixture[str]) -> None:
    for seed in ("7", "7", "8"):
        assert main(["seed", "1500", "--seed", seed]) == 0
    names = [pet["name"] for pet in exported(capfd)]
    first, second, other = names[:1500], names[1500:3000], names[3000:]
    assert first == second != other
    assert len(other) == 1500


@pytest.mark.parametrize(
    "arguments", [["0"], ["1000001"], ["many"], ["1", "2"], ["--seed", "x"], ["-1"]]
)
@pytest.mark.usefixtures("sqlite")
def test_a_number_that_is_none_or_out_of_range_is_a_usage_error(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["seed", *arguments]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.endswith("(see pets seed --help)")


def test_a_store_in_memory_cannot_be_seeded(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("PETS_DATABASE_URL", "memory://")
    assert main(["seed"]) == 2
    assert capsys.readouterr().err.startswith("pets: PETS_DATABASE_URL: ")


@pytest.mark.usefixtures("sqlite")
def test_an_interrupted_seed_adds_no_pet(
    monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]
) -> None:
    make = seeding.made_up_pets

    def interrupted(seed: int) -> Iterator[NewPet]:
        for number, pet in enumerate(make(seed)):
            if number == 5000:
                signal.raise_signal(signal.SIGINT)
            yield pet

    assert main(["migrate"]) == 0
    monkeypatch.setattr(seeding, "made_up_pets", interrupted)
    assert main(["seed", "9000"]) == 130
    assert capfd.readouterr().err == "pets: interrupted; nothing was added\n"
    assert exported(capfd) == []


@pytest.mark.thorough
def test_a_running_service_lists_the_pets(url: str) -> None:
    with served(url) as service:
        seeding.seed_store(Settings.from_environment(), 20, seed=1)
        assert service.request("GET", "/pets/?limit=0").json()["count"] == 20
