"""The command `pets`."""

import argparse
import json
import os
import signal
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Never

from pets.api.docs import document
from pets.bootstrap import MEMORY, Settings, SettingsError, create_app, migrate
from pets.domain.errors import InvalidQuery, StoreUnavailable
from pets.domain.pet import PetType
from pets.domain.query import PetQuery
from pets.formats import CSV, NDJSON
from pets.server import serve
from pets.transfer import TransferError, export_pets, import_pets


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Never:
        self.exit(2, f"{self.prog}: {message} (see {self.prog} --help)\n")


def _parser() -> _Parser:
    parser = _Parser(
        prog="pets",
        description="A REST service for pets, dogs and cats.",
        epilog="The store is chosen by the variable PETS_DATABASE_URL: sqlite+aiosqlite:///FILE (the default, with the "
        "file pets.db), postgresql://USER:PASSWORD@HOST:PORT/DATABASE, or memory://, which forgets all when it ends.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serving = commands.add_parser("serve", help="migrate the store, then serve until SIGTERM or Ctrl-C")
    serving.add_argument("--host", help="address to listen on (default: PETS_HOST, or 127.0.0.1)")
    serving.add_argument("--port", type=int, help="port to listen on, 0 for any free one (default: PETS_PORT, or 3000)")
    serving.add_argument("--workers", type=int, help="number of processes (default: PETS_WORKERS, or 1)")

    exporting = commands.add_parser("export", help="write all pets, or those chosen, by ascending id")
    exporting.add_argument("--output", type=Path, metavar="FILE", help="where to (default: standard output)")
    exporting.add_argument("--type", type=PetType, help="only dogs, or only cats")
    exporting.add_argument("--age-min", type=int, metavar="YEARS", help="only pets of at least this age")
    exporting.add_argument("--age-max", type=int, metavar="YEARS", help="only pets of at most this age")
    exporting.add_argument("--name", type=_text, metavar="PART", help="only pets with this in their name, in any case")

    importing = commands.add_parser("import", help="add the pets of a file, by the rules of the API")
    importing.add_argument("file", metavar="FILE", help="where from, - for standard input")
    importing.add_argument("--keep-ids", action="store_true", help="keep the ids of the file rather than give new ones")
    importing.add_argument(
        "--on-error", choices=["abort", "skip"], default="abort", help="import nothing, or all but the bad lines"
    )
    for transferring in (exporting, importing):
        transferring.add_argument("--format", choices=[NDJSON, CSV], help="(default: csv for *.csv, else ndjson)")

    commands.add_parser("migrate", help="bring the store to the schema that this version needs")
    commands.add_parser("openapi", help="print the OpenAPI document")
    return parser


def _text(argument: str) -> str:
    argument.encode()  # which fails for bytes that are no text
    return argument


def _query(options: Mapping[str, Any]) -> PetQuery:  # Any: as each argument is read
    try:
        return PetQuery(**{name: options[name] for name in ("type", "age_min", "age_max", "name")})
    except InvalidQuery as error:
        member, _, rule = str(error).partition(" ")
        raise SettingsError(f"--{member.replace('_', '-')} {rule}") from None


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 1 for what fails or is refused, 2 for what cannot work.

    SIGTERM and SIGINT end it at any time: with 0, or with 130 what should have been brought to an end.
    """
    # SIGTERM as SIGINT, which asyncio knows how to bring to an end. While it serves, uvicorn handles both, and raises
    # them again once it has stopped.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        return _run(command, options)
    except SettingsError as error:
        return _fail(2, error)
    except StoreUnavailable as error:
        return _fail(1, f"PETS_DATABASE_URL: {error}")
    except TransferError as error:
        return _fail(1, error)
    except KeyboardInterrupt:
        consequences = {"export": "interrupted", "import": "interrupted; nothing was imported"}
        return _fail(130, consequences[command]) if command in consequences else 0


def _run(command: str, options: Mapping[str, Any]) -> int:  # Any: as each argument is read
    if command == "openapi":
        print(json.dumps(document(create_app(Settings(database_url=MEMORY))), indent=2))
        return 0
    given = options if command == "serve" else {}
    flags = {f"PETS_{name.upper()}": str(value) for name, value in given.items() if value is not None}
    settings = Settings.from_environment(os.environ | flags)
    query = _query(options) if command == "export" else PetQuery()
    migrate(settings)
    if command == "serve":
        serve(settings)
    elif command == "export":
        export_pets(settings, query, options["format"], options["output"])
    elif command == "import":
        keep_ids, skip = options["keep_ids"], options["on_error"] == "skip"
        return 0 if import_pets(settings, options["file"], options["format"], keep_ids=keep_ids, skip=skip) else 1
    return 0


def _fail(status: int, reason: object) -> int:
    print(f"pets: {reason}", file=sys.stderr)
    return status
