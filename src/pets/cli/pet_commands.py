"""The commands that read and add many pets: `pets export`, `pets import` and `pets seed`."""

from pathlib import Path
from typing import Any, Final

import click

from pets.cli.console import Command
from pets.cli.options import complete_file, text
from pets.cli.signals import heed_signals
from pets.domain.errors import InvalidQuery
from pets.settings import Settings, SettingsError

_ENDINGS: Final = {".csv": "csv", ".tsv": "tsv", ".ndjson": "ndjson", ".jsonl": "ndjson"}

_format = click.option(
    "--format",
    "format_",
    type=click.Choice(["csv", "tsv", "ndjson"]),
    help="The default follows the ending of FILE: .csv, .tsv, .ndjson or .jsonl."
    " For - it is ndjson.",
)


def _format_of(file: str) -> str:
    """Return the format of a file by its ending. Raises `click.UsageError` for any other ending."""
    if file == "-":
        return "ndjson"
    try:
        return _ENDINGS[Path(file).suffix.lower()]
    except KeyError:
        *others, last = _ENDINGS
        raise click.UsageError(
            f"{file} does not end with {', '.join(others)} or {last}: choose a --format",
            click.get_current_context(),
        ) from None


@click.command("export", cls=Command)
@click.option(
    "--output",
    metavar="FILE",
    default="-",
    shell_complete=complete_file,
    help="The file to write. The default is -, which is standard output.",
)
@click.option(
    "--type",
    "type_",
    type=click.Choice(["dog", "cat"], case_sensitive=False),
    help="Only dogs or cats.",
)
@click.option("--age-min", type=int, metavar="YEARS", help="Only pets of at least this age.")
@click.option("--age-max", type=int, metavar="YEARS", help="Only pets of at most this age.")
@click.option(
    "--name",
    type=text,
    metavar="PART",
    help="Only pets whose name contains this, in upper or lower case.",
)
@_format
@click.option(
    "--excel",
    is_flag=True,
    help="Write CSV that a spreadsheet opens without harm. It is not for import.",
)
def export_command(
    output: str,
    format_: str | None,
    type_: str | None,
    *,
    excel: bool,
    **choice: Any,  # Any: each of these options has a type of its own.
) -> int:
    """Write all pets, or those chosen, to a file.

    They are in the order of their ids, and as they are at one moment.
    """
    from pets.api.formats import CSV_FOR_SPREADSHEETS, FORMATS
    from pets.cli.exporting import export_pets
    from pets.domain.pet import PetType
    from pets.domain.query import PetQuery

    heed_signals()
    format_ = format_ or _format_of(output)
    if excel and format_ != "csv":
        raise click.UsageError("--excel needs --format csv", click.get_current_context())
    delimited = CSV_FOR_SPREADSHEETS if excel else FORMATS[format_]
    settings = Settings.from_environment()
    try:
        query = PetQuery(type=PetType(type_) if type_ else None, **choice)
    except InvalidQuery as error:
        option = error.member.replace("_", "-")
        raise SettingsError(f"--{option} must be {error.rule}") from None
    export_pets(settings, query, output, delimited)
    return 0


@click.command("import", cls=Command)
@click.argument("file", shell_complete=complete_file)
@click.option(
    "--keep-ids", is_flag=True, help="Keep the ids of the file. Otherwise all get new ones."
)
@click.option(
    "--on-error",
    type=click.Choice(["abort", "skip"]),
    default="abort",
    help="abort, the default, imports nothing if a line is bad. skip leaves out the bad lines.",
)
@_format
def import_command(file: str, format_: str | None, on_error: str, *, keep_ids: bool) -> int:
    """Add the pets of FILE. The file - is standard input.

    The rules are those of the API, and each bad line is named. The store is migrated first.
    """
    from pets.bootstrap.stores import migrate
    from pets.cli.importing import import_pets

    heed_signals()
    format_ = format_ or _format_of(file)
    settings = Settings.from_environment()
    migrate(settings)
    done = import_pets(settings, file, format_, keep_ids=keep_ids, skip=on_error == "skip")
    return 0 if done else 1


@click.command("seed", cls=Command)
@click.argument("number", metavar="[N]", type=click.IntRange(1, 1_000_000), default=100)
@click.option(
    "--seed",
    type=int,
    default=1,
    metavar="S",
    help="Another S makes other pets. The default is 1.",
)
def seed_command(number: int, seed: int) -> int:
    """Add made-up pets, to try the service with.

    N is from 1 to 1,000,000, and 100 by default. The same N and S always make the same pets.
    The store is migrated first.
    """
    from pets.cli.seeding import seed_store

    heed_signals()
    seed_store(Settings.from_environment(), number, seed)
    return 0
