"""The commands about API keys: `pets keys`."""

import click

from pets.cli.console import Group
from pets.cli.options import complete_file, text
from pets.cli.signals import heed_signals
from pets.settings import Settings, SettingsError

_file = click.option(
    "--file",
    type=text,
    metavar="FILE",
    shell_complete=complete_file,
    help="The file of keys. The default is PETS_API_KEYS_FILE.",
)


def _default_file() -> str:
    """Return the file of the service, or nothing if it has none. Raises `SettingsError`."""
    return Settings.from_environment().api_keys_file


def _required_file(file: str | None) -> str:
    found = file or _default_file()
    if not found:
        raise SettingsError("name the file of keys, with --file or with PETS_API_KEYS_FILE")
    return found


@click.group("keys", cls=Group)
def keys_group() -> None:
    """Make, list and revoke API keys."""


@keys_group.command("new")
@click.argument("name", type=text)
@click.option(
    "--scope",
    type=click.Choice(["read", "write"]),
    required=True,
    help="read allows only reading, and write allows all.",
)
@_file
def new_command(name: str, scope: str, file: str | None) -> int:
    """Make a key, print it, and add its line to the file of keys.

    The key cannot be shown again. Without a file, the line is printed.
    """
    from pets.api.api_keys import KeyScope
    from pets.cli.keys import make_key

    heed_signals()
    make_key(name, KeyScope(scope), file or _default_file() or None)
    return 0


@keys_group.command("list")
@_file
def list_command(file: str | None) -> int:
    """Print the name and the scope of each key."""
    from pets.cli.keys import print_keys

    heed_signals()
    print_keys(_required_file(file))
    return 0


@keys_group.command("revoke")
@click.argument("name", type=text)
@_file
def revoke_command(name: str, file: str | None) -> int:
    """Remove a key from the file of keys.

    A running service refuses it one to two seconds later.
    """
    from pets.cli.keys import revoke_key

    heed_signals()
    revoke_key(name, _required_file(file))
    return 0
