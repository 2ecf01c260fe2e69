"""A limit on how many callers are inside at once."""

from typing import Final

from pets.domain.errors import StoreUnavailable


class Gate:
    """Lets up to `limit` callers in, and turns others away at once with `StoreUnavailable`."""

    def __init__(self, limit: int, refusal: str) -> None:
        self._limit: Final = limit
        self._refusal: Final = refusal
        self._inside = 0

    def __enter__(self) -> None:
        if self._inside >= self._limit:
            raise StoreUnavailable(self._refusal)
        self._inside += 1

    def __exit__(self, *_: object) -> None:
        self._inside -= 1
