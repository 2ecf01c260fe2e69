"""The command `pets`."""

import argparse
import json
import logging
import os
import signal
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final, Never

from pets.api.openapi import document
from pets.api.formats import CSV, NDJSON
from pets.bootstrap import MEMORY, Settings, SettingsError, create_app, may_write, migrate
from pets.cli.console import print_document, say
from pets.cli.serve import serve
from pets.cli.transfer import STANDARD_STREAM, TransferError, export_pets, import_pets
from pets.domain.errors import InvalidQuery, StoreUnavailable
from pets.domain.pet import PetType
from pets.domain.query import PetQuery

_INTERRUPTED: Final = {"import": "interrupted; nothing was imported"}


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

    serving = commands.add_parser(
        "serve", help="migrate the store, then serve until SIGTERM or Ctrl-C"
    )
    serving.add_argument("--host", help="address to listen on (default: PETS_HOST, or 127.0.0.1)")
    serving.add_argument(
        "--port",
        type=int,
        help="port to listen on, 0 for any free one (default: PETS_PORT, or 3000)",
    )
    serving.add_argument(
        "--workers", type=int, help="number of processes (default: PETS_WORKERS, or 1)"
    )

    exporting = commands.add_parser(
        "export", help="write all pets, or those chosen, by ascending id"
    )
    exporting.add_argument(
        "--output", metavar="FILE", help="where to (default: -, standard output)"
    )
    exporting.add_argument("--type", type=PetType, help="only dogs, or only cats")
    exporting.add_argument(
        "--age-min", type=int, metavar="YEARS", help="only pets of at least this age"
    )
    exporting.add_argument(
        "--age-max", type=int, metavar="YEARS", help="only pets of at most this age"
    )
    exporting.add_argument(
        "--name", type=_text, metavar="PART", help="only pets with this in their name, in any case"
    )

    importing = commands.add_parser(
        "import", help="add the pets of a file, by the rules of the API"
    )
    importing.add_argument("file", metavar="FILE", help="where from, - for standard input")
    importing.add_argument(
        "--keep-ids", action="store_true", help="keep the ids of the file rather than give new ones"
    )
    importing.add_argument(
        "--on-error",
        choices=["abort", "skip"],
        default="abort",
        help="import nothing, or all but the bad lines",
    )
    for transferring in (exporting, importing):
        transferring.add_argument(
            "--format", choices=[NDJSON, CSV], help="(default: csv for *.csv, else ndjson)"
        )

    commands.add_parser("migrate", help="bring the store to the schema that this version needs")
    commands.add_parser("openapi", help="print the OpenAPI document")
    return parser


def _text(argument: str) -> str:
    argument.encode()  # which fails for bytes that are no text
    return argument


def _query(options: Mapping[str, Any]) -> PetQuery:  # Any: as each argument is read
    members = {name: options[name] for name in ("type", "age_min", "age_max", "name")}
    try:
        return PetQuery(**members)
    except InvalidQuery as error:
        flag = f"--{error.member.replace('_', '-')}"
        raise SettingsError(f"{flag} must be {error.rule}") from None


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return its exit status.

    It is 0 if all was done, 1 if something failed or was refused, and 2 if it can never work.
    SIGTERM and SIGINT end a command at any time: a service with 0, any other with 130.
    """
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        # asyncio knows how to end by SIGINT. While it serves, uvicorn handles both signals, and
        # raises them again once it has stopped.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGTERM, _raise_sigint)
        return _run(command, options)
    except SettingsError as error:
        return _fail(2, error)
    except StoreUnavailable as error:
        return _fail(1, f"PETS_DATABASE_URL: {_explain(error)}")
    except TransferError as error:
        return _fail(1, error)
    except KeyboardInterrupt:
        # Connections that were cut off complain when Python forgets them.
        logging.getLogger("asyncio").setLevel(logging.CRITICAL)
        if command == "serve":
            return 0
        return _fail(130, _INTERRUPTED.get(command, "interrupted"))


def _explain(error: StoreUnavailable) -> str:
    if not error.reason:
        return str(error)
    message = str(error).rstrip(".")
    return f"{message}: {error.reason}"


def _raise_sigint(*_: object) -> None:
    signal.pthread_sigmask(signal.SIG_UNBLOCK, [signal.SIGINT])  # See `pets.__main__`.
    signal.raise_signal(signal.SIGINT)


def _run(command: str, options: Mapping[str, Any]) -> int:  # Any: as each argument is read
    if command == "openapi":
        return _print_openapi()
    settings = _settings(options if command == "serve" else {})
    query = _query(options) if command == "export" else PetQuery()
    if command != "export" or may_write(settings):
        migrate(settings)
    if command == "serve":
        serve(settings)
    elif command == "export":
        output = None if options["output"] in {None, STANDARD_STREAM} else Path(options["output"])
        export_pets(settings, query, options["format"], output)
    elif command == "import":
        done = import_pets(
            settings,
            options["file"],
            options["format"],
            keep_ids=options["keep_ids"],
            skip=options["on_error"] == "skip",
        )
        return 0 if done else 1
    return 0


def _settings(flags: Mapping[str, Any]) -> Settings:  # Any: as each argument is read
    environment = dict(os.environ)
    for name, value in flags.items():
        if value is not None:
            environment[f"PETS_{name.upper()}"] = str(value)
    return Settings.from_environment(environment)


def _print_openapi() -> int:
    app = create_app(Settings(database_url=MEMORY))
    try:
        print_document(json.dumps(document(app), indent=2))
    except OSError as error:
        return _fail(1, f"standard output: {error.strerror}")
    return 0


def _fail(status: int, reason: object) -> int:
    say(reason)
    return status
