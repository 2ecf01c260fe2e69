"""The published OpenAPI document, held against the running service by schemathesis."""

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.served import served

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_the_service_is_as_its_document_says(postgresql_url: str, tmp_path: Path) -> None:
    schemathesis = Path(sys.executable).with_name("schemathesis")
    with served(postgresql_url) as service:
        run = subprocess.run(
            [
                schemathesis,
                "--config-file",
                CONFIG,
                "run",
                f"{service.url}/schema/openapi.json",
                "--checks",
                "all",
                "--max-examples",
                "100",
            ],
            cwd=tmp_path,
            env=os.environ
            | {
                "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
                "PYTHONPATH": str(ROOT),
            },
            capture_output=True,
            text=True,
            check=False,
        )
    assert run.returncode == 0, run.stdout + run.stderr
