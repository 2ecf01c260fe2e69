"""`pets serve` on other systems: with both versions of IP, without uvloop, and under systemd."""

import shutil
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import pytest

from tests.integration import served as served_module
from tests.integration.served import served

UNIT = Path(__file__).parents[2] / "deploy" / "systemd" / "pets.service"

WITHOUT_UVLOOP = """
import resource, runpy, sys

def no_infinite_soft_limit(kind, limits, set_limits=resource.setrlimit):
    if limits[0] == resource.RLIM_INFINITY:
        raise ValueError("not allowed to raise maximum limit")
    set_limits(kind, (limits[0], finite))

_, finite = resource.getrlimit(resource.RLIMIT_NOFILE)
resource.getrlimit = lambda _: (256, resource.RLIM_INFINITY)
resource.setrlimit = no_infinite_soft_limit
sys.modules["uvloop"] = None
runpy.run_module("pets", run_name="__main__", alter_sys=True)
"""
"""Starts the command as on a system like macOS: without uvloop, and with an infinite limit."""

BOY = {"name": "boy", "age": 7, "type": "dog"}

pytestmark = pytest.mark.thorough


def test_every_address_of_ipv6_answers_ipv4_too() -> None:
    with served("memory://", PETS_HOST="::") as service:
        for host in ("127.0.0.1", "[::1]"):
            url = f"http://{host}:{service.port}/pets/"
            assert httpx.get(url, verify=False).json() == {"count": 0, "items": []}


def test_serves_without_uvloop_and_with_an_infinite_limit_of_files(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(served_module, "COMMAND", [sys.executable, "-c", WITHOUT_UVLOOP])
    with served("memory://") as service:
        created = service.request("POST", "/pets/", json=BOY)
        assert created.status_code == 201
        assert service.request("GET", "/pets/").json() == {"count": 1, "items": [created.json()]}
        assert service.stop() == 0


@contextmanager
def receiver(address: str) -> Iterator[socket.socket]:
    """Listen as systemd does for what a service says."""
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as listener:
        listener.bind(address)
        listener.settimeout(30)
        yield listener


@pytest.mark.parametrize("is_abstract", [False, True])
def test_systemd_is_told_when_the_service_serves_and_stops(
    is_abstract: bool,  # noqa: FBT001  # pytest gives it.
    tmp_path: Path,
) -> None:
    name = str(tmp_path / "notify")
    with receiver(f"\0{name}" if is_abstract else name) as systemd:
        notify_socket = f"@{name}" if is_abstract else name
        with served("memory://", NOTIFY_SOCKET=notify_socket) as service:
            assert systemd.recv(100) == b"READY=1"
            assert service.request("GET", "/health/ready").status_code == 200
            assert service.stop() == 0
            assert systemd.recv(100) == b"STOPPING=1"


@pytest.mark.skipif(not shutil.which("systemd-analyze"), reason="systemd-analyze is missing")
def test_the_unit_of_systemd_is_valid(tmp_path: Path) -> None:
    text = UNIT.read_text()
    assert "ExecStart=/opt/pets/bin/pets serve\n" in text
    unit = tmp_path / UNIT.name
    unit.write_text(text.replace("/opt/pets/bin/pets", sys.executable))  # It must exist.
    done = subprocess.run(
        ["systemd-analyze", "verify", "--man=no", str(unit)],
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    assert (done.returncode, done.stderr) == (0, "")
