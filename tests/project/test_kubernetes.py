"""The manifests of `deploy/kubernetes` are valid, and agree with each other and the service."""

import dataclasses
import re
from pathlib import Path
from typing import Any, Final

import kubernetes_validate
import pytest
import yaml

from pets import __version__
from pets.serving.configuration import GRACE_SECONDS
from pets.settings import Settings, variable_of

ROOT: Final = Path(__file__).parents[2]
FOLDER: Final = ROOT / "deploy" / "kubernetes"
VERSION: Final = "1.34"

Manifest = dict[str, Any]  # Any: whatever YAML can hold.


def read(name: str) -> dict[str, Manifest]:
    """Return the manifests of a file by their kinds."""
    manifests = yaml.safe_load_all((FOLDER / name).read_text())  # type: ignore[no-untyped-call]  # PyYAML has no types.
    return {manifest["kind"]: manifest for manifest in manifests}


SERVICE: Final = read("pets.yaml")
DATABASE: Final = read("database.yaml")["Cluster"]
POD: Final = SERVICE["Deployment"]["spec"]["template"]["spec"]
(CONTAINER,) = POD["containers"]
PORTS: Final = {port["name"]: port["containerPort"] for port in CONTAINER["ports"]}
VARIABLES: Final = {variable["name"]: variable for variable in CONTAINER["env"]}


@pytest.mark.parametrize("kind", SERVICE)
def test_each_manifest_is_valid(kind: str) -> None:
    """The schema of the cluster of the database belongs to CloudNativePG, and is not here."""
    kubernetes_validate.validate(SERVICE[kind], VERSION, strict=True)


def test_selectors_find_the_pods() -> None:
    labels = SERVICE["Deployment"]["spec"]["template"]["metadata"]["labels"]
    assert SERVICE["Deployment"]["spec"]["selector"]["matchLabels"] == labels
    assert SERVICE["Service"]["spec"]["selector"] == labels
    assert SERVICE["PodDisruptionBudget"]["spec"]["selector"]["matchLabels"] == labels
    scaled = SERVICE["HorizontalPodAutoscaler"]["spec"]["scaleTargetRef"]
    assert scaled["name"] == SERVICE["Deployment"]["metadata"]["name"]


def test_ports_are_those_of_the_image() -> None:
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert f"EXPOSE {PORTS['http']}" in dockerfile
    (port,) = SERVICE["Service"]["spec"]["ports"]
    assert PORTS[port["targetPort"]] == port["port"]
    assert VARIABLES["PETS_METRICS_PORT"]["value"] == str(PORTS["metrics"])


def test_a_service_of_the_namespace_sets_no_variable() -> None:
    assert POD["enableServiceLinks"] is False


def test_the_user_is_that_of_the_image() -> None:
    (user,) = re.findall(r"^USER (\d+)$", (ROOT / "Dockerfile").read_text(), re.MULTILINE)
    assert POD["securityContext"]["runAsUser"] == int(user)


def test_the_version_is_the_newest() -> None:
    assert CONTAINER["image"] == f"pets:{__version__}"


def test_every_variable_is_a_setting() -> None:
    assert VARIABLES.keys() <= {variable_of(each.name) for each in dataclasses.fields(Settings)}


def test_the_database_is_the_one_that_is_made() -> None:
    secret = VARIABLES["PETS_DATABASE_URL"]["valueFrom"]["secretKeyRef"]
    assert secret["name"] == f"{DATABASE['metadata']['name']}-app"


def test_the_database_takes_the_connections_of_all_pods() -> None:
    most = SERVICE["HorizontalPodAutoscaler"]["spec"]["maxReplicas"] + 3  # some more in an update
    assert most * 15 <= int(DATABASE["spec"]["postgresql"]["parameters"]["max_connections"])


def test_a_commit_waits_for_a_standby() -> None:
    spec = DATABASE["spec"]
    assert 1 <= spec["postgresql"]["synchronous"]["number"] < spec["instances"]


def test_requests_in_flight_have_the_time_that_the_service_gives_them() -> None:
    pause = int(CONTAINER["lifecycle"]["preStop"]["exec"]["command"][1])
    assert POD["terminationGracePeriodSeconds"] >= pause + GRACE_SECONDS + 5
