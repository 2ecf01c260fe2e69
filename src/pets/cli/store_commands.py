"""The commands about the store: to migrate, copy and check it."""

import click

from pets.cli.console import Command
from pets.cli.options import complete_file, text
from pets.cli.signals import heed_signals
from pets.settings import Settings


@click.command("backup", cls=Command)
@click.argument("file", type=text, shell_complete=complete_file)
def backup_command(file: str) -> int:
    """Copy a SQLite store to FILE, also while a service writes. PostgreSQL has pg_dump."""
    from pets.cli.backups import make_backup

    heed_signals()
    make_backup(Settings.from_environment(), file)
    return 0


@click.command("restore", cls=Command)
@click.argument("file", type=text, shell_complete=complete_file)
def restore_command(file: str) -> int:
    """Put a copy of a SQLite store in its place. The service must be stopped."""
    from pets.cli.backups import restore_backup

    heed_signals()
    restore_backup(Settings.from_environment(), file)
    return 0


@click.command("migrate", cls=Command)
def migrate_command() -> int:
    """Bring the store to the schema that this version needs."""
    from pets.bootstrap.stores import migrate

    heed_signals()
    migrate(Settings.from_environment())
    return 0


@click.command("check-counts", cls=Command)
@click.option("--repair", is_flag=True, help="Repair them, as the owner of the tables.")
def check_counts_command(*, repair: bool) -> int:
    """Say which kept counts differ from the number of pets."""
    from pets.bootstrap.stores import migrate
    from pets.cli.counts import print_wrong_counts

    heed_signals()
    settings = Settings.from_environment()
    if repair:
        migrate(settings)
    print_wrong_counts(settings, repair=repair)
    return 0


@click.command("doctor", cls=Command)
def doctor_command() -> int:
    """Print the settings in force and the state of the store, and say what is wrong."""
    from pets.cli.doctor import examine

    heed_signals()
    examine(Settings.from_environment())
    return 0
