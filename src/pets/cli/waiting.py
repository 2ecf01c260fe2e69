"""How a service waits for its store when it starts first."""

import time
from typing import Final

from pets.bootstrap.stores import migrate
from pets.cli.console import say
from pets.domain.errors import StoreUnreachable
from pets.settings import Settings

_STATEMENT_SECONDS: Final = 10
"""How long a statement of a try may take, because a store that is stuck does not answer."""

_PAUSE_SECONDS: Final = 1
_SAY_SECONDS: Final = 5


def migrate_when_reachable(settings: Settings) -> None:
    """Migrate the store, once it can be reached. Say every few seconds what is waited for.

    Raises what `migrate` raises. `StoreUnreachable` is raised after `startup_timeout` seconds.
    """
    deadline = time.monotonic() + settings.startup_timeout
    say_again = 0.0
    while True:
        try:
            migrate(settings, _STATEMENT_SECONDS)
        except StoreUnreachable as error:
            now = time.monotonic()
            if now + _PAUSE_SECONDS > deadline:
                raise
            if now >= say_again:
                say_again = now + _SAY_SECONDS
                say(f"waiting up to {deadline - now:.0f} s for the store: {error}: {error.reason}")
        else:
            return
        time.sleep(_PAUSE_SECONDS)  # A signal to stop ends the process.
