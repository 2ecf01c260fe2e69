"""A Python client that openapi-python-client generates from the OpenAPI document.

mypy checks the program that uses it, so a document that gives a member a wrong type, or none,
fails here too.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

import pytest

from pets.api.openapi import document
from pets.bootstrap import create_app
from pets.settings import MEMORY, Settings
from tests.integration.served import served

pytestmark = pytest.mark.thorough

PROGRAM = """
import asyncio
import sys

from pets_client import Client
from pets_client.api.health import is_live, is_ready
from pets_client.api.pets import (
    count_pets,
    create_pet,
    delete_pet,
    delete_pets,
    get_pet,
    list_pets,
    replace_pet,
    update_pet,
)
from pets_client.models import (
    Health,
    ListPetsSort,
    Pet,
    PetCreate,
    PetPage,
    PetsDelete,
    PetsDeleted,
    PetStats,
    PetType,
    PetUpdate,
    Problem,
)
from pets_client.types import Unset

client = Client(base_url=sys.argv[1], raise_on_unexpected_status=True)

for health in (is_live.sync(client=client), is_ready.sync(client=client)):
    assert isinstance(health, Health) and health.status == "ok"

empty = count_pets.sync(client=client)
assert isinstance(empty, PetStats) and empty.mean_age is None

new = PetCreate(name="boy", age=7, type_=PetType.DOG)
boy = create_pet.sync(client=client, body=new, idempotency_key="once")
again = create_pet.sync(client=client, body=new, idempotency_key="once")
assert isinstance(boy, Pet) and boy == again

others = create_pet.sync(client=client, body=[new, PetCreate("girl", 3, PetType.CAT)])
assert isinstance(others, list)
assert [pet.name for pet in others] == ["boy", "girl"]

old = PetCreate(name="boy", age=101, type_=PetType.DOG)
problem = create_pet.sync(client=client, body=old)
assert isinstance(problem, Problem) and not isinstance(problem.errors, Unset)
assert [fault.pointer for fault in problem.errors] == ["#/age"]

page = list_pets.sync(
    client=client,
    type_=PetType.DOG,
    ids=[boy.id, others[0].id, others[1].id],
    sort=ListPetsSort.ID_DESCENDING,
)
assert isinstance(page, PetPage)
assert [pet.id for pet in page.items] == [others[0].id, boy.id]
listed = list_pets.sync_detailed(client=client)
same = list_pets.sync_detailed(client=client, if_none_match=listed.headers["etag"])
assert same.status_code == 304 and same.parsed is None

stats = count_pets.sync(client=client, age_min=3)
assert isinstance(stats, PetStats)
assert (stats.by_type.dog, stats.by_type.cat, stats.mean_age) == (2, 1, 5.67)
assert [(each.age, each.count) for each in stats.by_age] == [(3, 1), (7, 2)]

got = get_pet.sync_detailed(boy.id, client=client)
assert got.parsed == boy
assert asyncio.run(get_pet.asyncio(boy.id, client=client)) == boy
tag = got.headers["etag"]
changed = update_pet.sync(boy.id, client=client, body=PetUpdate(age=8), if_match=tag)
assert isinstance(changed, Pet) and changed.age == 8 and changed.name == "boy"
refused = update_pet.sync(boy.id, client=client, body=PetUpdate(age=9), if_match=tag)
assert isinstance(refused, Problem) and refused.status == 412
replaced = replace_pet.sync(boy.id, client=client, body=PetCreate("max", 1, PetType.CAT))
assert isinstance(replaced, Pet) and (replaced.name, replaced.type_) == ("max", PetType.CAT)

assert delete_pet.sync_detailed(boy.id, client=client).status_code == 204
missing = get_pet.sync(boy.id, client=client)
assert isinstance(missing, Problem) and missing.type_ == "/problems/pet-not-found"
deleted = delete_pets.sync(client=client, body=PetsDelete([boy.id, others[0].id]))
assert isinstance(deleted, PetsDeleted) and deleted.deleted == 1
assert [error.id for error in deleted.errors] == [boy.id]
deleted = delete_pets.sync(client=client, ids=[others[1].id])
assert isinstance(deleted, PetsDeleted) and deleted.deleted == 1
"""


@pytest.fixture(scope="module")
def generated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the client, as the package `pets_client`, and the program."""
    directory = tmp_path_factory.mktemp("python")
    described = document(create_app(Settings(database_url=MEMORY)))
    # The generator cannot send lines. It would leave them out with a warning.
    content = described["paths"]["/pets/"]["post"]["requestBody"]["content"]
    described["paths"]["/pets/"]["post"]["requestBody"]["content"] = {
        "application/json": content["application/json"]
    }
    (directory / "openapi.json").write_text(json.dumps(described))
    # Without its last step, which formats the code, it takes half the time.
    (directory / "config.yaml").write_text("post_hooks: []\n")
    options = ["--path", "openapi.json", "--config", "config.yaml", "--fail-on-warning"]
    to = ["--meta", "none", "--output-path", "pets_client"]
    run_module(directory, "openapi_python_client", "generate", *options, *to)
    (directory / "program.py").write_text(PROGRAM)
    return directory


def run_module(directory: Path, *arguments: str) -> None:
    command = [sys.executable, "-m", *arguments]
    done = subprocess.run(command, cwd=directory, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_the_program_uses_every_operation(generated: Path) -> None:
    modules = {path.stem for path in generated.glob("pets_client/api/*/*.py")} - {"__init__"}
    assert modules == set(re.findall(r"(\w+)\.sync", PROGRAM))


def test_the_types_fit(generated: Path) -> None:
    run_module(generated, "mypy", "--strict", "--follow-imports=silent", "program.py")


def test_each_operation_works(generated: Path) -> None:
    with served("memory://") as service:
        run_module(generated, "program", service.url)
