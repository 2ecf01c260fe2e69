"""The command `pets`: its exit statuses, `pets serve` and `pets openapi`.

Other commands are in `pet_commands.py`, `store_commands.py` and `key_commands.py`.
Each command imports what it needs when it runs, because `pets --help` should be quick.
"""

import json
import logging
import os
import sys
import warnings
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import click

from pets import __version__
from pets.cli.console import (
    STANDARD_OUTPUT,
    CommandFailed,
    Group,
    Interrupted,
    ReaderGone,
    discard,
    print_document,
    say,
    show,
)
from pets.cli.key_commands import keys_group
from pets.cli.pet_commands import export_command, import_command, seed_command
from pets.cli.signals import heed_signals
from pets.cli.store_commands import (
    backup_command,
    check_counts_command,
    doctor_command,
    index_names_command,
    migrate_command,
    restore_command,
)
from pets.domain.errors import StoreUnavailable
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
        status: int = pets_group.main([*arguments], "pets", standalone_mode=False)
    except click.exceptions.NoArgsIsHelpError as error:  # A group needs one of its commands.
        show(error.format_message())
        status = 2
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


def _ignore(_: object) -> None:
    pass


def _interrupted(effect: str) -> int:
    # Connections and event loops that were cut off complain when Python forgets them.
    logging.getLogger("asyncio").setLevel(logging.CRITICAL)
    warnings.simplefilter("ignore")
    sys.unraisablehook = _ignore
    return _fail(INTERRUPTED, f"interrupted; {effect}" if effect else "interrupted")


def _setting(name: str, meaning: str) -> click.Option:
    """Return the option for a setting. Its value is passed under the name of the variable."""
    variable = variable_of(name)
    default = getattr(Settings, name)
    text = f"{meaning}. The default is {variable}, or {default}."
    return click.Option([variable, f"--{name}"], type=type(default), help=text)


# click's own option would end with a traceback if the output cannot be written.
def _print_version(context: click.Context, _: click.Parameter, wanted: bool) -> None:  # noqa: FBT001  # click calls it.
    if wanted and not context.resilient_parsing:  # Otherwise a shell completes the line.
        print_document(f"pets {__version__}")
        context.exit()


@click.group(
    cls=Group,
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
def pets_group() -> None:
    """Run a REST service for pets, which are dogs or cats, and look after its store."""


@pets_group.command(
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


@pets_group.command("openapi")
def _openapi() -> int:
    """Print the OpenAPI document of the API, as JSON."""
    from pets.api.openapi import document
    from pets.bootstrap import create_app

    heed_signals()
    settings = replace(Settings.from_environment(), database_url=MEMORY, workers=1)
    app = create_app(settings)
    print_document(json.dumps(document(app), indent=2))
    return 0


for _command in (
    export_command,
    import_command,
    seed_command,
    migrate_command,
    backup_command,
    restore_command,
    check_counts_command,
    index_names_command,
    doctor_command,
    keys_group,
):
    pets_group.add_command(_command)
