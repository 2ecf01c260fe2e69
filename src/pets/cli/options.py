"""What options and arguments of several commands share."""

import click
from click.shell_completion import CompletionItem


def text(value: str) -> str:
    try:
        value.encode()
    except UnicodeEncodeError:
        raise click.BadParameter("it is not valid UTF-8") from None
    return value


def complete_file(*_: object) -> list[CompletionItem]:
    """Let the shell complete a name with its own files."""
    return [CompletionItem("", type="file")]
