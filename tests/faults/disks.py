"""Disks that a test may fill, write-protect, or cut the power of."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest

UNMOUNT_SECONDS: Final = 5


def as_root(*command: str) -> list[str]:
    """Return a command that needs rights which not everyone has."""
    return [*command] if os.geteuid() == 0 else ["sudo", "--non-interactive", *command]


def run_as_root(*command: str) -> None:
    """Run a command. The test is skipped if this machine cannot."""
    try:
        subprocess.run(as_root(*command), check=True, capture_output=True, text=True)
    except (OSError, subprocess.CalledProcessError) as error:
        reason = getattr(error, "stderr", "") or error
        pytest.skip(f"this machine cannot run {' '.join(command)}: {reason}")


@contextmanager
def mounted(*what: str) -> Iterator[Path]:
    """Mount something on a new folder, in which everyone may write."""
    folder = Path(tempfile.mkdtemp(prefix="pets-disk-"))
    try:
        run_as_root("mount", *what, str(folder))
        try:
            run_as_root("chmod", "777", str(folder))
            yield folder
        finally:
            unmount(folder)
    finally:
        folder.rmdir()


def unmount(folder: Path) -> None:
    """Unmount a disk as soon as processes that have just ended have left it."""
    end = time.monotonic() + UNMOUNT_SECONDS
    while folder.is_mount() and time.monotonic() < end:
        subprocess.run(as_root("umount", str(folder)), check=False, capture_output=True)
    assert not folder.is_mount()


@contextmanager
def memory_disk(megabytes: int) -> Iterator[Path]:
    with mounted("-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs") as folder:
        yield folder


@contextmanager
def filled(folder: Path) -> Iterator[None]:
    """Fill the disk that has this folder, until the end of the block."""
    ballast = folder / "ballast"
    with ballast.open("wb", buffering=0) as file, suppress(OSError):
        while True:
            file.write(bytes(4096))
    try:
        yield
    finally:
        ballast.unlink()


class ImageDisk:
    """A disk whose content is a file. `folder` is where it is mounted."""

    def __init__(self, image: Path, folder: Path) -> None:
        self.folder = folder
        self._image = image
        self._copy = image.with_suffix(".copy")

    def remember(self) -> None:
        """Copy what is on the disk, without what the system has yet to write to it.

        No process may write meanwhile, and the copy is made again if the system itself did.
        """
        changed = None
        while changed != (changed := self._image.stat().st_mtime_ns):
            shutil.copyfile(self._image, self._copy)

    def go_back(self) -> None:
        """Go on with what was remembered. No process may use the disk."""
        unmount(self.folder)
        self._copy.replace(self._image)
        run_as_root("mount", "-o", "loop", str(self._image), str(self.folder))


@contextmanager
def image_disk(folder: Path, megabytes: int = 64) -> Iterator[ImageDisk]:
    """Have a disk whose image is in this folder."""
    image = folder / "image"
    with image.open("wb") as file:
        file.truncate(megabytes * 1024 * 1024)
    run_as_root("mkfs.ext4", "-q", str(image))
    with mounted("-o", "loop", str(image)) as mount:
        yield ImageDisk(image, mount)
