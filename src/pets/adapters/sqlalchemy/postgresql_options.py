"""The options that a URL of PostgreSQL can have, and which of their values are obeyed.

They are those of libpq, of asyncpg and of the service.
An option or a value that is not obeyed is refused, and none is ignored.
Source: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-PARAMKEYWORDS
"""

import re
from collections.abc import Mapping
from typing import Final, NamedTuple


class Option(NamedTuple):
    values: str
    """A regular expression of the values that are obeyed."""
    rule: str
    """What to tell anyone who gives another value."""


def _one_of(*values: str, because: str = "") -> Option:
    reason = f", because {because}" if because else ""
    return Option("|".join(map(re.escape, values)), f"it must be {' or '.join(values)}{reason}")


def _refused(reason: str) -> Option:
    return Option("(?!)", f"this option is not supported: {reason}")


_TEXT: Final = Option("(?s:.+)", "")
_NUMBER: Final = Option("[0-9]{1,9}", "it must be a number, 0 or more")
_SECONDS: Final = Option("-?[0-9]{1,9}", "it must be a number of seconds")
_TLS_VERSION: Final = _one_of("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3")
_NETWORK: Final = "the service itself notices a lost network within 10 seconds"
_LACKING: Final = "the driver can do nothing else"
_LACKED: Final = _refused("the driver lacks it")
_SERVICE: Final = _refused("write what the service file says into the URL")

TLS_OPTIONS: Final[Mapping[str, Option]] = {
    "sslmode": _one_of("disable", "allow", "prefer", "require", "verify-ca", "verify-full"),
    "sslnegotiation": _one_of("postgres", "direct"),
    "sslrootcert": _TEXT,
    "sslcrl": _TEXT,
    "sslcert": _TEXT,
    "sslkey": _TEXT,
    "sslpassword": _TEXT,
    "ssl_min_protocol_version": _TLS_VERSION,
    "ssl_max_protocol_version": _TLS_VERSION,
}

OPTIONS: Final[Mapping[str, Option]] = {
    **TLS_OPTIONS,
    # Where to connect, as whom, and for how long to try.
    "host": _TEXT,
    "port": _TEXT,
    "user": _TEXT,
    "password": _TEXT,
    "passfile": _TEXT,
    "krbsrvname": _TEXT,
    "gsslib": _one_of("gssapi"),
    "dbname": _TEXT,
    "search_database": _TEXT,
    "connect_timeout": _SECONDS,
    "target_session_attrs": _one_of(
        "any", "primary", "read-write", because="the service needs a server that takes changes"
    ),
    # How the sessions are.
    "application_name": _TEXT,
    "fallback_application_name": _TEXT,
    "options": _TEXT,
    "statement_cache_size": _NUMBER,
    "prepared_statement_cache_size": _NUMBER,
    # What is done anyway is obeyed, and nothing else.
    "channel_binding": _one_of(
        "disable",
        "prefer",
        because="the driver lacks it; sslmode=verify-full also shows that the server is yours",
    ),
    "client_encoding": _one_of("UTF8", "utf8", "UTF-8", "utf-8", because="pets are in UTF-8"),
    "gssdelegation": _one_of("0", because=_LACKING),
    "gssencmode": _one_of("disable", "prefer", because=_LACKING),
    "keepalives": _one_of("1", because=_NETWORK),
    "load_balance_hosts": _one_of("disable", because="one server does all the work"),
    "max_protocol_version": _one_of("3.0", "3.2", "latest", because=_LACKING),
    "min_protocol_version": _one_of("3.0", because=_LACKING),
    "replication": _one_of("false", "off", "no", "0", because="the service runs statements"),
    "requiressl": _one_of("0", because="sslmode=require has replaced it"),
    "sslcertmode": _one_of("allow", because=_LACKING),
    "sslcompression": _one_of("0", because=_LACKING),
    "sslsni": _one_of("1", because=_LACKING),
    # The rest is refused.
    "hostaddr": _refused("give the address as the host"),
    "keepalives_count": _refused(_NETWORK),
    "keepalives_idle": _refused(_NETWORK),
    "keepalives_interval": _refused(_NETWORK),
    "tcp_user_timeout": _refused(_NETWORK),
    "oauth_client_id": _LACKED,
    "oauth_client_secret": _LACKED,
    "oauth_issuer": _LACKED,
    "oauth_scope": _LACKED,
    "require_auth": _LACKED,
    "requirepeer": _LACKED,
    "scram_client_key": _LACKED,
    "scram_server_key": _LACKED,
    "service": _SERVICE,
    "servicefile": _SERVICE,
    "sslcrldir": _refused("give one file as sslcrl"),
    "sslkeylogfile": _LACKED,
}

OTHER_NAMES: Final = {"ssl": "sslmode", "database": "dbname"}
"""What asyncpg and SQLAlchemy call options of libpq."""

SECRETS: Final = frozenset({"password", "sslpassword"})
"""The options that nobody may see."""
