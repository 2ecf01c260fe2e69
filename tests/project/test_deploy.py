"""The files of `deploy/` agree with the service."""

import re
from pathlib import Path

import pytest

from pets.adapters.sqlalchemy.postgresql_session import QUICK_SESSION, SEARCH_SESSION, time_limits
from pets.settings import Settings

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
