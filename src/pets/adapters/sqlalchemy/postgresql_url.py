"""What a URL of PostgreSQL says, as the arguments of asyncpg."""

import os
import re
import stat
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final
from urllib.parse import quote, urlencode

from sqlalchemy import URL

from pets.adapters.sqlalchemy.postgresql_options import OPTIONS, OTHER_NAMES, TLS_OPTIONS
from pets.adapters.sqlalchemy.postgresql_session import PINNED

_ARGUMENTS: Final = {
    "user": "user",
    "password": "password",
    "passfile": "passfile",
    "krbsrvname": "krbsrvname",
    "gsslib": "gsslib",
    "dbname": "database",
    "target_session_attrs": "target_session_attrs",
}
"""The names that asyncpg has for options that are texts."""

_SIZES: Final = ("statement_cache_size", "prepared_statement_cache_size")
_FILES: Final = ("passfile", "sslrootcert", "sslcrl", "sslcert", "sslkey")

_SYSTEM: Final = "system"
"""The value of `sslrootcert` for the certificates that the system trusts."""

_VERIFYING: Final = ("require", "verify-ca", "verify-full")
"""The values of `sslmode` with which asyncpg looks at `sslrootcert`."""

_SEVERAL_HOSTS: Final = re.compile(
    r"(?P<before>\w+(?:\+\w+)?://(?:[^/?@]*@)?)(?P<hosts>[^/?@]*,[^/?@]*)(?P<after>.*)"
)
_ADDRESS: Final = re.compile(
    r"(?P<socket>/.*?)(?::(?P<port0>[0-9]+))?"
    r"|\[(?P<ipv6>[^\]]*)\](?::(?P<port1>.*))?"
    r"|(?P<bare_ipv6>[^:]*:[^:]*:.*)"
    r"|(?P<name>[^:]*)(?::(?P<port2>.*))?"
)
_SETTING: Final = re.compile(r"(?:^|\s)(?:-c\s*|--)([\w.-]+)")


def name_hosts_as_options(text: str) -> str:
    """Return a URL like `postgresql://a:1,b:2/pets` as `postgresql:///pets?host=a:1&host=b:2`."""
    match = _SEVERAL_HOSTS.fullmatch(text)
    if not match:
        return text
    hosts = "&".join(f"host={quote(host)}" for host in match["hosts"].split(","))
    return f"{match['before']}{match['after']}{'&' if '?' in match['after'] else '?'}{hosts}"


def checked(url: URL) -> URL:
    """Return the URL with its options under libpq's names, and without those that are empty.

    Raises `ValueError` for an option that is not obeyed. The message has no password.
    """
    query: dict[str, str | tuple[str, ...]] = {}
    for given, value in url.query.items():
        name = OTHER_NAMES.get(given, given)
        if name not in OPTIONS:
            raise ValueError(f"unknown option {given!r}")
        values = [each for each in _listed(value) if each]
        if given == "ssl" and values == ["true"]:  # as JDBC writes it
            values = ["require"]
        if name in query or (len(values) > 1 and name != "host"):
            raise ValueError(f"{name}: this option is given twice")
        for each in values:
            if not re.fullmatch(OPTIONS[name].values, each):
                raise ValueError(f"{given}: {OPTIONS[name].rule}")
        if values:
            query[name] = tuple(values) if len(values) > 1 else values[0]
    url = url.set(query=query)
    _check_addresses(url)
    _check_settings(url)
    _check_files(url)
    _check_tls(url)
    return url


def has_several_hosts(url: URL) -> bool:
    """Whether a URL is like `postgresql:///pets?host=a:5432&host=b:5432`."""
    return len(_addresses(url)) > 1


def connect_arguments(url: URL) -> dict[str, Any]:  # Any: they are asyncpg's.
    """Return what a `checked` URL says, beyond its own user, password and database."""
    arguments: dict[str, Any] = {}
    for name, argument in _ARGUMENTS.items():
        if name in url.query:
            arguments[argument] = url.query[name]
    for name in _SIZES:
        if name in url.query:
            arguments[name] = int(_text(url, name))
    addresses = _addresses(url)
    if len(addresses) > 1:
        arguments["host"] = [host for host, _ in addresses]
        arguments["port"] = [port for _, port in addresses]
    else:
        ((host, port),) = addresses
        arguments |= {"host": host or None, "port": port}
    tls = {name: _text(url, name) for name in TLS_OPTIONS if name in url.query}
    if tls.get("sslrootcert") == _SYSTEM:
        arguments["ssl"] = True
    elif tls:  # asyncpg takes most of them from a URL alone.
        arguments["dsn"] = f"postgresql://?{urlencode(tls)}"
    return arguments


def server_settings(url: URL) -> dict[str, str]:
    """Return the settings that a `checked` URL gives to sessions."""
    settings = {
        "application_name": _text(url, "application_name")
        or _text(url, "fallback_application_name"),
        "options": _text(url, "options"),
    }
    return {name: value for name, value in settings.items() if value}


def connect_seconds(url: URL) -> int | None:
    """Return for how long a connection may be tried. As in libpq, 0 and less set no limit."""
    seconds = int(_text(url, "connect_timeout") or 0)
    return seconds if seconds > 0 else None


def _text(url: URL, name: str) -> str:
    return str(url.query.get(name, ""))


def _listed(value: str | Sequence[str]) -> Sequence[str]:
    return [value] if isinstance(value, str) else value


def _addresses(url: URL) -> Sequence[tuple[str, int | None]]:
    """Return the hosts and their ports. A host or port that the URL does not name is empty.

    Raises `ValueError`.
    """
    hosts = ",".join(_listed(url.query.get("host", ""))) or url.host or ""
    found = [_ADDRESS.fullmatch(each) for each in hosts.split(",")]
    ports = _text(url, "port").split(",")
    if len(ports) == 1:
        ports = [ports[0] or str(url.port or "")] * len(found)
    if len(ports) != len(found):
        raise ValueError("port: give one, or as many as there are hosts")
    addresses = []
    for match, default in zip(found, ports, strict=True):
        assert match  # The last alternative
        parts = match.groupdict()
        host = parts["socket"] or parts["ipv6"] or parts["bare_ipv6"] or parts["name"] or ""
        port = parts["port0"] or parts["port1"] or parts["port2"] or default
        addresses.append((host, _port(port)))
    return addresses


def _port(port: str) -> int | None:
    if not port:
        return None
    if not (re.fullmatch("[0-9]{1,5}", port) and 1 <= int(port) <= 65535):
        raise ValueError(f"port {port[:20]!r} is not from 1 to 65535")
    return int(port)


def _check_addresses(url: URL) -> None:
    addresses = _addresses(url)
    if len(addresses) > 1 and not all(host and port for host, port in addresses):
        raise ValueError("each host needs a port, as in ?host=a:5432&host=b:5432")


def _check_settings(url: URL) -> None:
    for name in _SETTING.findall(_text(url, "options")):
        if name.lower().replace("-", "_") in PINNED:
            raise ValueError(f"options: the service sets {name} itself")


def _check_files(url: URL) -> None:
    for name in _FILES:
        file = _text(url, name)
        if not file or (name, file) == ("sslrootcert", _SYSTEM):
            continue
        try:
            mode = Path(file).stat().st_mode
        except OSError as error:
            raise ValueError(f"{name}: {file}: {error.strerror}") from None
        if not (stat.S_ISREG(mode) and os.access(file, os.R_OK)):
            raise ValueError(f"{name}: {file} is not a file that can be read")
        if name == "passfile" and mode & (stat.S_IRWXG | stat.S_IRWXO):
            raise ValueError(f"passfile: only its owner may have access to {file}")


def _check_tls(url: URL) -> None:
    """Raise `ValueError` for options that would have no effect beside the others."""
    given = url.query.keys() & TLS_OPTIONS.keys()
    mode = _text(url, "sslmode") or os.environ.get("PGSSLMODE", "")
    if _text(url, "sslrootcert") == _SYSTEM:
        if not (given <= {"sslmode", "sslrootcert"} and mode in {"", "verify-full"}):
            raise ValueError("sslrootcert=system goes with sslmode=verify-full and nothing else")
    elif given & {"sslrootcert", "sslcrl"} and mode not in _VERIFYING:
        raise ValueError("sslrootcert and sslcrl have no effect without sslmode=verify-full")
    if given & {"sslkey", "sslpassword"} and not (
        "sslcert" in given or os.environ.get("PGSSLCERT")
    ):
        raise ValueError("sslkey and sslpassword have no effect without sslcert")
