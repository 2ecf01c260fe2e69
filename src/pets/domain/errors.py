"""What can go wrong, in the domain's words."""


class InvalidPet(ValueError):
    """A value that no pet can have. The message says which, and what would be valid."""


class InvalidQuery(ValueError):
    """A query that makes no sense: `member` is what is wrong with it, and `rule` what that must be."""

    def __init__(self, member: str, rule: str) -> None:
        super().__init__(f"{member} must be {rule}")
        self.member = member
        self.rule = rule


class StoreUnavailable(Exception):
    """The store cannot be reached, does not answer in time, or is not migrated. Trying again later may help.

    The message is shown to clients; what the store itself said is the cause.
    """

    @property
    def reason(self) -> str:
        """The first line of the cause, for operators; the other lines may show parameters."""
        if self.__cause__ is None:
            return ""
        lines = str(self.__cause__).splitlines()
        return lines[0] if lines else type(self.__cause__).__name__
