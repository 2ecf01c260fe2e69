"""schemathesis compares the running service with its OpenAPI document."""

import os
import subprocess
import sys
from pathlib import Path

from tests.integration.served import served

ROOT = Path(__file__).parents[2]
CONFIG = Path(__file__).with_name("schemathesis.toml")


def test_the_service_is_as_its_document_says(postgresql_url: str, tmp_path: Path) -> None:
    schemathesis = Path(sys.executable).with_name("schemathesis")
    hooks = {
        "SCHEMATHESIS_HOOKS": "tests.integration.schemathesis_hooks",
        "PYTHONPATH": str(ROOT),
    }
    with served(postgresql_url) as service:
        document = f"{service.url}/schema/openapi.json"
        options = ["--checks", "all", "--max-examples", "100"]
        done = subprocess.run(
            [schemathesis, "--config-file", CONFIG, "run", document, *options],
            cwd=tmp_path,
            env=os.environ | hooks,
            capture_output=True,
            text=True,
            check=False,
        )
    assert done.returncode == 0, done.stdout + done.stderr
