"""The commands about the store: to migrate, copy and check it."""

import click

from pets.cli.console import Command
from pets.cli.options import complete_file, text
from pets.cli.signals import heed_signals
from pets.settings import Settings


@click.command("backup", cls=Command)
@click.argument("file", type=text, shell_complete=complete_file)
def backup_command(file: str) -> int:
    """Copy a SQLite store to FILE.

    The service may run meanwhile. For PostgreSQL use pg_dump.
    """
    from pets.cli.backups import make_backup

    heed_signals()
    make_backup(Settings.from_environment(), file)
    return 0


@click.command("restore", cls=Command)
@click.argument("file", type=text, shell_complete=complete_file)
def restore_command(file: str) -> int:
    """Replace a SQLite store by FILE, a copy of it.

    The service must be stopped. For PostgreSQL use pg_restore.
    """
    from pets.cli.backups import restore_backup

    heed_signals()
    restore_backup(Settings.from_environment(), file)
    return 0


@click.command("migrate", cls=Command)
def migrate_command() -> int:
    """Bring the store to the schema that this version needs.

    A SQLite file that does not exist, or an empty database, becomes a store.
    `pets serve`, `import` and `seed` do this too.
    """
    from pets.bootstrap.stores import migrate

    heed_signals()
    migrate(Settings.from_environment())
    return 0


@click.command("check-counts", cls=Command)
@click.option(
    "--repair",
    is_flag=True,
    help="Set wrong counts right. This needs the role that owns the tables.",
)
def check_counts_command(*, repair: bool) -> int:
    """Compare the counts that the store keeps with its pets.

    Each wrong count is printed, and then the exit status is 1.
    """
    from pets.bootstrap.stores import migrate
    from pets.cli.counts import print_wrong_counts

    heed_signals()
    settings = Settings.from_environment()
    if repair:
        migrate(settings)
    print_wrong_counts(settings, repair=repair)
    return 0


@click.command("index-names", cls=Command)
@click.option("--drop", is_flag=True, help="Remove the index.")
def index_names_command(*, drop: bool) -> int:
    """Make searches for a part of a name fast, on PostgreSQL.

    This makes an index, which needs the extension pg_trgm and the role that owns the tables. The
    service may run meanwhile, and uses the index as soon as it is made. An index that was
    interrupted is made anew.
    """
    from pets.cli.indexing import index_names, remove_index

    heed_signals()
    settings = Settings.from_environment()
    if drop:
        remove_index(settings)
    else:
        index_names(settings)
    return 0


@click.command("doctor", cls=Command)
def doctor_command() -> int:
    """Say what is wrong with the settings or the store.

    The settings in force and the state of the store are printed. Nothing is changed. The exit
    status is 1 at the first thing that is wrong.
    """
    from pets.cli.doctor import examine

    heed_signals()
    examine(Settings.from_environment())
    return 0
