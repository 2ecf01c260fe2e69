"""The manual of the server lists the names of uvicorn that it relies on, and uvicorn has them.

uvicorn documents none of these names, so any version may rename one.
"""

import ast
import asyncio
import inspect
import re
from pathlib import Path
from typing import Final

import pytest
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol, RequestResponseCycle
from uvicorn.server import Server, ServerState

from pets import serving
from pets.serving.admission import ServedProtocol
from pets.serving.closing import Flow
from pets.serving.cycle import AnswerCycle
from pets.serving.worker import Worker

SUBCLASSES: Final[dict[type, type | None]] = {
    HttpToolsProtocol: ServedProtocol,
    RequestResponseCycle: AnswerCycle,
    FlowControl: Flow,
    Server: Worker,
    ServerState: None,
}
NOT_ONLY_UVICORN: Final = {"run", *dir(asyncio.Protocol)}
"""Names of asyncio, which stay. `run` is that of its `Runner`."""

ENTRY: Final = re.compile(r"^- `(\w+)` (overridden|used): ((?:`\w+`[,.]\s+)+)", re.MULTILINE)


def listed() -> dict[tuple[str, str], set[str]]:
    """Return the names of the manual, by their class and by what is done with them."""
    names = {}
    for owner, use, text in ENTRY.findall(f"{serving.__doc__}\n"):
        names[owner, use] = set(re.findall(r"`(\w+)`", text))
    return names


def defined(owner: type) -> set[str]:
    """Return the methods and the attributes that uvicorn gives to the objects of this class."""
    names = set()
    for node in ast.walk(ast.parse(inspect.getsource(owner))):
        match node:
            case ast.FunctionDef(name=name) | ast.AsyncFunctionDef(name=name):
                names.add(name)
            case ast.Attribute(value=ast.Name(id="self"), attr=name, ctx=ast.Store()):
                names.add(name)
    return names


def mentioned() -> set[str]:
    """Return all attributes that the source of the server reads, writes or defines."""
    names = set()
    for path in Path(serving.__path__[0]).glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            match node:
                case (
                    ast.Attribute(attr=name)
                    | ast.FunctionDef(name=name)
                    | ast.AsyncFunctionDef(name=name)
                ):
                    names.add(name)
    return names


LISTED: Final = [(owner, name) for (owner, _), names in listed().items() for name in sorted(names)]


@pytest.mark.parametrize(("owner", "name"), LISTED)
def test_uvicorn_still_has_the_name(owner: str, name: str) -> None:
    (class_,) = [known for known in SUBCLASSES if known.__name__ == owner]
    assert name in defined(class_)


@pytest.mark.parametrize("owner", SUBCLASSES)
def test_the_manual_lists_what_is_overridden(owner: type) -> None:
    names: set[str] = set()
    for class_ in (SUBCLASSES[owner] or owner).__mro__:
        if class_.__module__.startswith("pets."):
            names |= vars(class_).keys()
    overridden = names & defined(owner) - NOT_ONLY_UVICORN - {"__init__"}
    assert listed().get((owner.__name__, "overridden"), set()) == overridden


def test_the_manual_lists_what_is_used() -> None:
    names = {name for owner in SUBCLASSES for name in defined(owner)}
    used = names & mentioned() - NOT_ONLY_UVICORN - {"__init__"}
    assert {name for _, name in LISTED} == used
