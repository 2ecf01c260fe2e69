"""Whether the kept counts are right: `pets check-counts`."""

import asyncio
from collections.abc import Iterable

from pets.bootstrap.stores import check_counts, check_ids
from pets.cli.console import CommandFailed, print_document, warnings_said
from pets.settings import Settings


def print_wrong_counts(settings: Settings, *, repair: bool) -> None:
    """Print a line for each wrong count, or one that says that there is none.

    So it does for a sequence of ids that would give ids again.
    Raises `CommandFailed` if anything is wrong and stays so, and `StoreUnavailable`.
    """
    with warnings_said():  # The repair may have to wait.
        wrong = lines_of(asyncio.run(check_counts(settings, repair=repair)))
        behind = asyncio.run(check_ids(settings, repair=repair))
    if behind:
        wrong.append(line_of_ids(*behind))
    if not wrong:
        print_document("all counts are right")
        return
    end = "; repaired" if repair else ""
    print_document("\n".join(f"{line}{end}" for line in wrong))
    if not repair:
        raise CommandFailed("counts are wrong; `pets check-counts --repair` repairs them")


def line_of_ids(given: int, highest: int) -> str:
    """Describe a sequence of ids that is behind the pets."""
    return f"ids: the sequence is at {given}, but a pet has {highest}"


def lines_of(wrong: Iterable[tuple[int, str, int, int]]) -> list[str]:
    """Describe each wrong count: its age, its type, what was kept and what was found."""
    lines = []
    for age, type_, kept, found in wrong:
        ages = "all ages" if age == -1 else f"age {age}"
        lines.append(f"{type_}, {ages}: kept {kept}, found {found}")
    return lines
