"""The commands about API keys: `pets keys`."""

import click

from pets.api.api_keys import KeyScope
from pets.cli.console import Group
from pets.cli.options import complete_file, text
from pets.cli.signals import heed_signals


@click.group("keys", cls=Group, no_args_is_help=False)
def keys_group() -> None:
    """Make the API keys that PETS_API_KEYS_FILE holds."""


@keys_group.command("new")
@click.argument("name", type=text)
@click.option(
    "--scope", type=click.Choice(list(map(str, KeyScope))), required=True, help="What it allows."
)
@click.option(
    "--file",
    type=text,
    shell_complete=complete_file,
    help="The file that gets the line of the key.",
)
def new_command(name: str, scope: str, file: str | None) -> int:
    """Make a key and print it. It cannot be shown again."""
    from pets.cli.keys import make_key

    heed_signals()
    make_key(name, KeyScope(scope), file)
    return 0
