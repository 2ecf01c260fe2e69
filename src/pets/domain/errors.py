"""The errors of the domain."""


class InvalidPet(ValueError):
    """A pet cannot have this value. The message names the member and its rule."""


class InvalidQuery(ValueError):
    """A query cannot have this value. `rule` continues "`member` must be"."""

    def __init__(self, member: str, rule: str) -> None:
        super().__init__(f"{member} must be {rule}")
        self.member = member
        self.rule = rule


class StoreUnavailable(Exception):
    """The store cannot be reached, does not answer in time, or refuses: it may not be migrated.

    Nothing was done, so the call is safe to repeat. Clients see the message. The cause is the
    store's own error.
    """

    @property
    def reason(self) -> str:
        """The first line of the cause, for operators. The other lines may show parameters."""
        if self.__cause__ is None:
            return ""
        lines = str(self.__cause__).splitlines()
        return lines[0] if lines else type(self.__cause__).__name__


class NoIdsLeft(StoreUnavailable):
    """The store cannot add pets, because the highest ids are assigned.

    Nothing was done. Repeating the call does not help.
    """

    def __init__(self) -> None:
        super().__init__("The store has no ids left for new pets.")


class OutcomeUnknown(StoreUnavailable):
    """The store failed during a change. The change may have been made or not."""


class StoreUnreachable(StoreUnavailable):
    """The store does not take connections now. It may only be starting."""
