"""Files that commands write: whole or not at all, and never over the store."""

import errno
import os
import secrets
import shutil
import stat
from collections.abc import Collection, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from pets.cli.console import STANDARD_OUTPUT, CommandFailed


@contextmanager
def replacing(target: Path, mode: int = 0o666) -> Iterator[Path]:
    """Give a new empty file, which takes the place of the target when the block ends well.

    Then it is safe from a loss of power. Otherwise the target stays as it was. It keeps its rights,
    and a new one gets those of the mode that the umask leaves. Raises `OSError`.
    """
    target = target.resolve()  # what a link points to
    part = target.with_name(f".pets-{secrets.token_hex(8)}")
    part.touch(mode, exist_ok=False)
    try:
        if target.exists():
            _copy_rights(target, part)
        yield part
        with part.open("rb") as file:
            sync(file.fileno())
        part.replace(target)
    except BaseException:
        part.unlink(missing_ok=True)
        raise
    folder = os.open(target.parent, os.O_RDONLY)
    try:
        sync(folder)
    finally:
        os.close(folder)


def _copy_rights(source: Path, target: Path) -> None:
    status = source.stat()
    with suppress(PermissionError):  # Only root may give files away.
        os.chown(target, status.st_uid, status.st_gid)
    shutil.copymode(source, target)


def sync(number: int) -> None:
    """Wait until the disk has what was written to an open file. Raises `OSError`."""
    try:
        os.fsync(number)
    except OSError as error:
        if error.errno not in {errno.EINVAL, errno.ENOTSUP, errno.EROFS}:
            raise  # Otherwise it is a pipe or a device, which keeps nothing.


def is_special(path: Path) -> bool:
    """Return whether this is a device or a pipe. Raises `OSError` for a loop of links."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except FileNotFoundError:
        return False


def refuse_parts(output: str, parts: Collection[Path]) -> None:
    """Raise `CommandFailed` if an output is a part of the store, by any of its names.

    The output `-` is standard output. Raises `OSError`.
    """
    try:
        status = os.fstat(STANDARD_OUTPUT) if output == "-" else Path(output).stat()
    except FileNotFoundError:
        # SQLite would take a new file of this name for a part of the store.
        is_part = Path(output).resolve() in parts
    else:
        is_part = any(_is_same(status, part) for part in parts)
    if is_part:
        name = "standard output" if output == "-" else output
        raise CommandFailed(f"{name}: this file is a part of the store")


def _is_same(status: os.stat_result, part: Path) -> bool:
    try:
        return os.path.samestat(status, part.stat())
    except FileNotFoundError:
        return False
