"""schemathesis compares the running service with its OpenAPI document."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from pets.api.api_keys import ApiKey, KeyScope
from tests.integration.served import Served, served

pytestmark = pytest.mark.thorough

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_the_service_is_as_its_document_says(postgresql_url: str, tmp_path: Path) -> None:
    with served(postgresql_url) as service:
        compare(service, tmp_path)


def test_a_service_with_keys_is_as_its_document_says(tmp_path: Path) -> None:
    file = tmp_path / "keys"
    file.write_text(ApiKey.of("tests", KeyScope.WRITE, "secret").to_line() + "\n")
    with served("memory://", PETS_API_KEYS_FILE=str(file)) as service:
        # schemathesis would make up a value for a header that it is not given.
        key_headers = ("--header", "Authorization: Bearer secret", "--header", "X-API-Key: secret")
        compare(service, tmp_path, *key_headers)


def compare(service: Served, folder: Path, *options: str) -> None:
    """Let schemathesis work in the folder. It must find no difference."""
    schemathesis = Path(sys.executable).with_name("schemathesis")
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
        "PYTHONPATH": str(ROOT),
    }
    document = f"{service.url}/schema/openapi.json"
    options = ("--checks", "all", "--max-examples", "100", *options)
    done = subprocess.run(
        [schemathesis, "--config-file", CONFIG, "run", document, *options],
        cwd=folder,
        env=os.environ | hooks,
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
