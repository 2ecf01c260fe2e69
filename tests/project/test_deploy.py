"""The files of `deploy/`, and those of compose, agree with the service."""

import re
from dataclasses import fields
from pathlib import Path

import pytest
import yaml

from pets.adapters.sqlalchemy.postgresql_session import QUICK_SESSION, SEARCH_SESSION, time_limits
from pets.settings import Settings, variable_of

DEPLOY = Path(__file__).parents[2] / "deploy"
POOLER = (DEPLOY / "pgbouncer" / "pgbouncer.ini").read_text()

PASSED_ON = {"DateStyle", "TimeZone", "standard_conforming_strings"}
"""What PgBouncer sets on its connections as its clients ask for it."""

MAX_BYTES = 511
"""PgBouncer takes no longer query here. It hangs then."""


def query_of(database: str) -> str:
    match = re.search(rf"^{database} = .* connect_query='((?:[^']|'')*)'$", POOLER, re.MULTILINE)
    assert match
    return match[1].replace("''", "'")


@pytest.mark.parametrize(
    ("database", "session"), [("pets", QUICK_SESSION), ("pets_search", SEARCH_SESSION)]
)
def test_pgbouncer_sets_what_the_service_asks_for(database: str, session: dict[str, str]) -> None:
    query = query_of(database)
    settings = dict(re.findall(r"SET (\w+)='?([^';]*)'?", query))
    seconds = 0.9 * Settings().request_timeout
    asked = session | time_limits(seconds)
    assert settings == {name: value for name, value in asked.items() if name not in PASSED_ON}
    assert len(query) <= MAX_BYTES


def test_pgbouncer_ignores_what_it_sets_itself() -> None:
    (line,) = re.findall(r"^ignore_startup_parameters = (.*)$", POOLER, re.MULTILINE)
    ignored = set(line.split(", "))
    assert ignored == {*QUICK_SESSION, *SEARCH_SESSION, *time_limits(1)} - PASSED_ON


@pytest.mark.parametrize(
    ("name", "service"), [("docker-compose.yaml", "api"), ("docker-compose.scale.yaml", "api1")]
)
def test_compose_passes_every_setting_on(name: str, service: str) -> None:
    text = DEPLOY.with_name(name).read_text()
    services = yaml.safe_load(text)["services"]  # type: ignore[no-untyped-call]  # PyYAML has no types.
    passed_on = {each for each in services[service]["environment"] if each.startswith("PETS_")}
    assert passed_on == {variable_of(setting.name) for setting in fields(Settings)}
