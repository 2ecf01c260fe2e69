"""Whether the kept counts are right: `pets check-counts`."""

import asyncio

from pets.bootstrap import check_counts
from pets.cli.console import CommandFailed, print_document
from pets.settings import Settings


def print_wrong_counts(settings: Settings, *, repair: bool) -> None:
    """Print a line for each wrong count, or one that says that there is none.

    Raises `CommandFailed` if counts are wrong and stay so, and `StoreUnavailable`.
    """
    wrong = asyncio.run(check_counts(settings, repair=repair))
    if not wrong:
        print_document("all counts are right")
        return
    lines = []
    for age, type_, kept, found in wrong:
        ages = "all ages" if age == -1 else f"age {age}"
        line = f"{type_}, {ages}: kept {kept}, found {found}"
        lines.append(f"{line}; repaired" if repair else line)
    print_document("\n".join(lines))
    if not repair:
        raise CommandFailed("counts are wrong; `pets check-counts --repair` repairs them")
