"""The commands of `pets`, their options and their exit statuses.

Each command imports what it needs when it runs, because `pets --help` should be quick.
"""

import json
import logging
import os
from collections.abc import Sequence
from dataclasses import replace
from typing import Any, Final

import click
from click.shell_completion import CompletionItem

from pets.api.api_keys import KeyScope
from pets.cli.console import (
    STANDARD_OUTPUT,
    CommandFailed,
    Group,
    Interrupted,
    ReaderGone,
    discard,
    print_document,
    say,
)
from pets.cli.signals import heed_signals
from pets.domain.errors import InvalidQuery, StoreUnavailable
from pets.domain.pet import PetType
from pets.domain.query import PetQuery
from pets.serving.errors import CannotServe
from pets.serving.signals import end_by_signals
from pets.settings import MEMORY, Settings, SettingsError, variable_of

INTERRUPTED: Final = 130


def main(arguments: Sequence[str]) -> int:
    """Run a command and return its exit status.

    It is 0 if all was done, 1 if something failed or was refused, and 2 if it can never work.
    SIGTERM and SIGINT end a command with 130, at any time, and `serve` with 0 once its modules are
    loaded.
    """
    try:
        status: int = _pets.main([*arguments], "pets", standalone_mode=False)
    except click.UsageError as error:
        status = _fail(2, _usage_message(error))
    except SettingsError as error:
        status = _fail(2, error)
    except StoreUnavailable as error:
        status = _fail(1, f"PETS_DATABASE_URL: {_store_message(error)}")
    except ReaderGone:  # It has all that it wants.
        discard(STANDARD_OUTPUT)
        status = 0
    except (CannotServe, CommandFailed) as error:
        status = _fail(1, error)
    except (Interrupted, click.Abort) as error:  # click aborts if no command runs any more.
        status = _interrupted(str(error))
    return status


def _fail(status: int, reason: object) -> int:
    say(reason)
    return status


def _usage_message(error: click.UsageError) -> str:
    command = error.ctx.command_path if error.ctx else "pets"
    message = " ".join(error.format_message().split()).rstrip(".")  # It may have several lines.
    return f"{message} (see {command} --help)"


def _store_message(error: StoreUnavailable) -> str:
    if not error.reason:
        return str(error)
    message = str(error).rstrip(".")
    return f"{message}: {error.reason}"


def _interrupted(effect: str) -> int:
    # Connections that were cut off complain when Python forgets them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    return _fail(INTERRUPTED, f"interrupted; {effect}" if effect else "interrupted")


def _setting(name: str, meaning: str) -> click.Option:
    """Return the option for a setting. Its value is passed under the name of the variable."""
    variable = variable_of(name)
    default = getattr(Settings, name)
    text = f"{meaning}. The default is {variable}, or {default}."
    return click.Option([variable, f"--{name}"], type=type(default), help=text)


def _text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not valid UTF-8") from None
    return value


_format = click.option(
    "--format",
    "format_",
    type=click.Choice(["ndjson", "csv"]),
    help="The default is csv for *.csv, else ndjson.",
)


def _complete_file(*_: object) -> list[CompletionItem]:
    """Let the shell complete a name with its own files."""
    return [CompletionItem("", type="file")]


# click's own option would end with a traceback if the output cannot be written.
def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click calls it.
    if wanted and not context.resilient_parsing:  # Otherwise a shell completes the line.
        from importlib.metadata import version

        print_document(f"pets {version('pets')}")
        context.exit()


@click.group(
    cls=Group,
    no_args_is_help=False,
    context_settings={"help_option_names": ["-h", "--help"]},
    epilog="The store is chosen by the variable PETS_DATABASE_URL: sqlite+aiosqlite:///FILE"
    f" (the default is {Settings.database_url}), postgresql://USER:PASSWORD@HOST:PORT/DATABASE,"
    f" or {MEMORY}, which forgets all pets when it ends.",
)
@click.option(
    "--version",
    is_flag=True,
    is_eager=True,
    expose_value=False,
    callback=_print_version,
    help="Show the version and exit.",
)
def _pets() -> None:
    """Run a REST service for pets, dogs and cats."""


@_pets.command(
    "serve",
    params=[
        _setting("host", "The address to listen on"),
        _setting("port", "The port to listen on, 0 for any free one"),
        _setting("workers", "The number of processes"),
    ],
)
def _serve(**options: str | int | None) -> int:
    """Migrate the store, then serve until SIGTERM or Ctrl-C."""
    from pets.bootstrap.service import allow_files, serve, warn_of_unknown_variables
    from pets.cli.waiting import migrate_when_reachable
    from pets.telemetry.log import set_up_log

    end_by_signals()
    environment = dict(os.environ)
    for variable, value in options.items():
        if value is not None:
            environment[variable] = str(value)
    settings = Settings.from_environment(environment)
    allow_files(settings)
    set_up_log(settings.log_level)
    warn_of_unknown_variables()
    migrate_when_reachable(settings)
    serve(settings)
    return 0


@_pets.command("export")
@click.option(
    "--output",
    metavar="FILE",
    default="-",
    shell_complete=_complete_file,
    help="The default is standard output, -.",
)
@click.option("--type", type=click.Choice(PetType, case_sensitive=False), help="Only dogs or cats.")
@click.option("--age-min", type=int, metavar="YEARS", help="Only pets of at least this age.")
@click.option("--age-max", type=int, metavar="YEARS", help="Only pets of at most this age.")
@click.option(
    "--name", type=_text, metavar="PART", help="Only pets with this in their name, in any case."
)
@_format
def _export(output: str, format_: str | None, **choice: Any) -> int:
    """Write all pets, or those chosen, by ascending id."""
    from pets.cli.exporting import export_pets

    heed_signals()
    settings = Settings.from_environment()
    try:
        query = PetQuery(**choice)
    except InvalidQuery as error:
        option = error.member.replace("_", "-")
        raise SettingsError(f"--{option} must be {error.rule}") from None
    export_pets(settings, query, output, format_)
    return 0


@_pets.command("import")
@click.argument("file", shell_complete=_complete_file)
@click.option("--keep-ids", is_flag=True, help="Keep the ids of the file, and give no new ones.")
@click.option(
    "--on-error",
    type=click.Choice(["abort", "skip"]),
    default="abort",
    help="At a bad line, import nothing, or all but the bad lines. The default is abort.",
)
@_format
def _import(file: str, format_: str | None, on_error: str, *, keep_ids: bool) -> int:
    """Add the pets of FILE, by the rules of the API. The file - is standard input."""
    from pets.bootstrap.stores import migrate
    from pets.cli.importing import import_pets

    heed_signals()
    settings = Settings.from_environment()
    migrate(settings)
    done = import_pets(settings, file, format_, keep_ids=keep_ids, skip=on_error == "skip")
    return 0 if done else 1


@_pets.command("backup")
@click.argument("file", type=_text, shell_complete=_complete_file)
def _backup(file: str) -> int:
    """Copy a SQLite store to FILE, also while a service writes. PostgreSQL has pg_dump."""
    from pets.cli.backups import make_backup

    heed_signals()
    make_backup(Settings.from_environment(), file)
    return 0


@_pets.command("restore")
@click.argument("file", type=_text, shell_complete=_complete_file)
def _restore(file: str) -> int:
    """Put a copy of a SQLite store in its place. The service must be stopped."""
    from pets.cli.backups import restore_backup

    heed_signals()
    restore_backup(Settings.from_environment(), file)
    return 0


@_pets.command("migrate")
def _migrate() -> int:
    """Bring the store to the schema that this version needs."""
    from pets.bootstrap.stores import migrate

    heed_signals()
    migrate(Settings.from_environment())
    return 0


@_pets.command("check-counts")
@click.option("--repair", is_flag=True, help="Repair them, as the owner of the tables.")
def _check_counts(*, repair: bool) -> int:
    """Say which kept counts differ from the number of pets."""
    from pets.bootstrap.stores import migrate
    from pets.cli.counts import print_wrong_counts

    heed_signals()
    settings = Settings.from_environment()
    if repair:
        migrate(settings)
    print_wrong_counts(settings, repair=repair)
    return 0


@_pets.command("doctor")
def _doctor() -> int:
    """Print the settings in force and the state of the store, and say what is wrong."""
    from pets.cli.doctor import examine

    heed_signals()
    examine(Settings.from_environment())
    return 0


@_pets.command("openapi")
def _openapi() -> int:
    """Print the OpenAPI document."""
    from pets.api.openapi import document
    from pets.bootstrap import create_app

    heed_signals()
    settings = replace(Settings.from_environment(), database_url=MEMORY, workers=1)
    app = create_app(settings)
    print_document(json.dumps(document(app), indent=2))
    return 0


@_pets.group("keys", no_args_is_help=False)
def _keys() -> None:
    """Make the API keys that PETS_API_KEYS_FILE holds."""


@_keys.command("new")
@click.argument("name", type=_text)
@click.option(
    "--scope", type=click.Choice(list(map(str, KeyScope))), required=True, help="What it allows."
)
@click.option(
    "--file",
    type=_text,
    shell_complete=_complete_file,
    help="The file that gets the line of the key.",
)
def _keys_new(name: str, scope: str, file: str | None) -> int:
    """Make a key and print it. It cannot be shown again."""
    from pets.cli.keys import make_key

    heed_signals()
    make_key(name, KeyScope(scope), file)
    return 0
