"""A test that leaves something behind fails, and no other test does."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]

pytestmark = pytest.mark.skipif(
    sys.platform != "linux", reason="sockets and processes are found in /proc"
)

TESTS = """
import asyncio, os, signal, socket, subprocess, sys, threading
import pytest

pytest_plugins = ["tests.leftovers"]
kept = []

@pytest.fixture(scope="session", autouse=True)
def impatience():
    from tests import leftovers
    leftovers.SECONDS_TO_END = 0.1

@pytest.fixture
def anyio_backend():
    return "asyncio"

@pytest.mark.anyio
async def test_a_task():
    asyncio.create_task(asyncio.Event().wait())

def test_a_task_of_a_loop_of_its_own():
    async def main():
        asyncio.create_task(asyncio.Event().wait())
    asyncio.run(main())

def test_a_coroutine():
    cycle = [asyncio.sleep(1)]
    cycle.append(cycle)

@pytest.fixture
def value():
    cycle = [socket.socket()]
    cycle.append(cycle)
    return cycle

def test_a_value_of_a_fixture(value):
    pass

def test_a_thread():
    kept.append(threading.Event())
    threading.Thread(target=kept[0].wait, args=(20,), daemon=True).start()

def test_a_socket():
    kept.append(socket.socket())

def test_a_process():
    kept.append(subprocess.Popen(["sleep", "20"]))

def test_a_process_of_a_process():
    subprocess.run("sleep 20 & echo $! > pid", shell=True)

def test_nothing():
    kept[0].set()
    kept[1].close()
    kept[2].kill()
    kept[2].wait()
    os.kill(int(open("pid").read()), signal.SIGKILL)
    asyncio.run(asyncio.sleep(0))

@pytest.fixture(scope="module")
def shared_value():
    cycle = [socket.socket()]
    cycle.append(cycle)
    return cycle

def test_a_value_of_a_fixture_of_the_module(shared_value):
    pass
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory: pytest.TempPathFactory) -> str:
    folder = tmp_path_factory.mktemp("leftovers")
    (folder / "test_leftovers.py").write_text(TESTS)
    (folder / "pytest.ini").write_text("[pytest]\nfilterwarnings = error")
    plugins = ["-p", "no:cacheprovider", "-p", "no:schemathesis", "-p", "no:hypothesispytest"]
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-rA", *plugins, f"--rootdir={folder}"],
        cwd=folder,
        env={"PYTHONPATH": str(ROOT)},
        stdout=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stdout


def test_exactly_the_tests_that_leave_something_behind_fail(report: str) -> None:
    failed = re.findall(r"^ERROR .*::test_(\w+)", report, re.MULTILINE)
    assert failed == [name for name in re.findall(r"def test_(\w+)", TESTS) if name != "nothing"]


@pytest.mark.parametrize("what", ["task", "thread", "socket", "process"])
def test_a_report_says_what_was_left_behind(report: str, what: str) -> None:
    assert re.search(rf"^a {what}: .+", report, re.MULTILINE)
