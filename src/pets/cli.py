"""The command `pets`."""

import argparse
import json
import os
import signal
import sys
from typing import Never

from pets.api.docs import document
from pets.bootstrap import MEMORY, Settings, SettingsError, create_app, migrate
from pets.domain.errors import StoreUnavailable
from pets.server import serve


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

    commands.add_parser("migrate", help="bring the store to the schema that this version needs")
    commands.add_parser("openapi", help="print the OpenAPI document")
    return parser


def main(arguments: list[str] | None = None) -> int:
    """Run a command and return the exit status: 0, 1 for a store that fails, 2 for a setting that cannot work.

    SIGTERM and SIGINT end it with 0 at any time.
    """
    # SIGTERM as SIGINT, which asyncio knows how to bring to an end. While it serves, uvicorn handles both, and raises
    # them again once it has stopped.
    signal.signal(signal.SIGTERM, lambda *_: signal.raise_signal(signal.SIGINT))
    options = vars(_parser().parse_args(arguments))
    command = options.pop("command")
    try:
        if command == "openapi":
            print(json.dumps(document(create_app(Settings(database_url=MEMORY))), indent=2))
            return 0
        flags = {f"PETS_{name.upper()}": str(value) for name, value in options.items() if value is not None}
        settings = Settings.from_environment(os.environ | flags)
        migrate(settings)
        if command == "serve":
            serve(settings)
    except SettingsError as error:
        print(f"pets: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        return 0
    except StoreUnavailable as error:
        print(f"pets: PETS_DATABASE_URL: {error}", file=sys.stderr)
        return 1
    return 0
