"""Everything that can be set, with its variable, its default and its bounds."""

import os
import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Self

MEMORY: Final = "memory://"
"""The database URL of a store without a database."""

_DAY: Final = 24 * 60 * 60

LOG_LEVELS: Final = ("debug", "info", "warning", "error")

_OTLP: Final = ("OTEL_EXPORTER_OTLP_TRACES", "OTEL_EXPORTER_OTLP")
_PROTOCOL: Final = "http/protobuf"

_BOUNDS: Final = {
    "port": (0, 65535),
    "metrics_port": (0, 65535),
    "request_timeout": (1, 600),
    "startup_timeout": (0, 3600),
    "idempotency_ttl": (1, 366 * _DAY),
}
_KUBELET: Final = re.compile(r"(tcp|udp|sctp)://")
"""How Kubernetes begins what it sets, as in `PETS_PORT`, for a Service with the name `pets`."""

_SERVICE_LINK: Final = re.compile(
    r"\w+_(SERVICE_HOST|SERVICE_PORT(_\w+)?|PORT_\d+_(TCP|UDP|SCTP)(_\w+)?)"
)
"""What else Kubernetes sets for a Service."""

_OURS: Final = re.compile(r"PETS_(?!(?:TEST|BENCH)_DATABASE_URL$)(\w+)")
"""Variables that should be settings. Two others are for the tests and the measurements."""

_BOOLEANS: Final = {
    **dict.fromkeys(("true", "1", "yes", "on"), True),
    **dict.fromkeys(("false", "0", "no", "off"), False),
}

_TEXTS: Final = ("database_url", "host", "api_keys_file", "metrics_host")
_CONTROL: Final = re.compile(r"[\x00-\x1f\x7f-\x9f]")
_HOST: Final = re.compile(r"[a-z0-9_.-]+|\[[0-9a-f:.]+\]")
_ORIGIN: Final = re.compile(
    rf"\*|null|[a-z][a-z0-9+.-]*://({_HOST.pattern}|\*(\.[a-z0-9_-]+)+)(:[0-9]+)?"
)
_ROOT_PATH: Final = re.compile(r"(/(?!\.\.?(/|$))[A-Za-z0-9._~-]+)*")


class SettingsError(Exception):
    """A setting that cannot work. The message is one line that names it and holds no password."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """Everything that can be set. The variable of `port` is `PETS_PORT`, and so on.

    - `database_url` chooses the store: `sqlite+aiosqlite:///FILE`, `postgresql://…` or `memory://`.
    - `host` and `port` are the address to listen on. Port 0 takes any free port.
    - `workers` is the number of processes that serve, 1 or more.
    - `request_timeout` is how long a request may take, in seconds: 1 to 600.
    - `startup_timeout` is how long a service that starts waits for its store: 0 to 3600 seconds.
    - `api_keys_file` is a file of the API keys that requests need. Without it they need none.
    - `allowed_hosts` are the names of the service, separated by commas. Without them any is right.
    - `cors_origins` are the origins whose pages may use the service, separated by commas, or `*`.
      `https://*.example.org` are all subdomains.
    - `root_path` is the path that a proxy removes from each request, such as `/shop`.
    - `metrics_host` and `metrics_port` are where Prometheus finds the metrics. Port 0 is nowhere.
    - `log_level` is the level from which on lines are logged: one of `LOG_LEVELS`.
    - `access_log` adds a line for each request to the log.
    - `idempotency_ttl` is how long an `Idempotency-Key` is remembered: 1 second to 366 days.

    Raises `SettingsError` for a value out of these bounds. A database URL is checked by the
    adapter that uses it.
    """

    database_url: str = "sqlite+aiosqlite:///pets.db"
    host: str = "127.0.0.1"
    port: int = 3000
    workers: int = 1
    request_timeout: int = 10
    startup_timeout: int = 60
    idempotency_ttl: int = _DAY
    api_keys_file: str = ""
    allowed_hosts: str = ""
    cors_origins: str = ""
    root_path: str = ""
    metrics_host: str = "127.0.0.1"
    metrics_port: int = 0
    log_level: str = "info"
    access_log: bool = False

    def __post_init__(self) -> None:
        for name, (least, most) in _BOUNDS.items():
            value = getattr(self, name)
            if not least <= value <= most:
                raise SettingsError(f"{variable_of(name)}: {value} is not from {least} to {most}")
        for name in _TEXTS:
            if _CONTROL.search(getattr(self, name)):
                raise SettingsError(f"{variable_of(name)}: the value has a control character")
        if self.workers < 1:
            raise SettingsError(f"PETS_WORKERS: {self.workers} is not 1 or more")
        if self.log_level not in LOG_LEVELS:
            known = ", ".join(LOG_LEVELS)
            raise SettingsError(f"PETS_LOG_LEVEL: {self.log_level!r} is none of {known}")
        if self.database_url == MEMORY and self.workers > 1:
            raise SettingsError(
                "PETS_DATABASE_URL: processes cannot share memory://, so PETS_WORKERS must be 1"
            )
        if not _ROOT_PATH.fullmatch(self.root_path):
            raise SettingsError(f"PETS_ROOT_PATH: {self.root_path!r} is not like /shop or /a/b")
        self._check_lists()

    def _check_lists(self) -> None:
        for host in items(self.allowed_hosts):
            if not _HOST.fullmatch(host):
                raise SettingsError(f"PETS_ALLOWED_HOSTS: {host!r} is not a host without a port")
        for origin in items(self.cors_origins):
            if not _ORIGIN.fullmatch(origin):
                raise SettingsError(
                    f"PETS_CORS_ORIGINS: {origin!r} is not *, null, or like https://example.org, "
                    "https://*.example.org or app://localhost"
                )

    @classmethod
    def from_environment(cls, environment: Mapping[str, str] = os.environ) -> Self:
        """Return the settings that the variables give. An empty variable counts as not set.

        White space at both ends of a value does not count, because files often end with a line
        break. What Kubernetes sets for a Service whose name is like a variable is no setting.
        """
        values: dict[str, Any] = {}  # Any: each value has the type of its setting.
        for setting in fields(cls):
            variable = variable_of(setting.name)
            text = _value(environment, variable)
            if text and not _is_service_link(variable, text):
                _check_text(variable, text)
                values[setting.name] = _READERS[setting.type](variable, text)
        if "log_level" in values:
            values["log_level"] = values["log_level"].lower()
        return cls(**values)


def items(text: str) -> frozenset[str]:
    """Return the items of a list that is separated by commas, in lower case."""
    stripped = {item.strip().lower() for item in text.split(",")}
    return frozenset(stripped - {""})


def wants_traces(environment: Mapping[str, str] = os.environ) -> bool:
    """Whether the standard variables of OpenTelemetry ask for traces.

    Raises `SettingsError` for a way to send them that this service lacks.
    """
    exporter = _value(environment, "OTEL_TRACES_EXPORTER")
    is_disabled = _value(environment, "OTEL_SDK_DISABLED").lower() == "true"
    if is_disabled or exporter == "none":
        return False
    if exporter not in {"", "otlp"}:
        raise SettingsError(f"OTEL_TRACES_EXPORTER: {exporter!r} is neither otlp nor none")
    if not (exporter or any(_value(environment, f"{name}_ENDPOINT") for name in _OTLP)):
        return False
    for name in _OTLP:
        protocol = _value(environment, f"{name}_PROTOCOL") or _PROTOCOL
        if protocol != _PROTOCOL:
            raise SettingsError(f"{name}_PROTOCOL: {protocol!r} is not {_PROTOCOL}")
    return True


def unknown_variables(environment: Mapping[str, str] = os.environ) -> Iterator[tuple[str, str]]:
    """Yield each variable that begins with `PETS_` and is no setting, and the nearest one or "".

    It is most likely misspelt. What Kubernetes sets for Services is left out, and so is what has
    no value.
    """
    known = [setting.name.upper() for setting in fields(Settings)]
    for variable in sorted(environment):
        text = _value(environment, variable)
        ours = _OURS.fullmatch(variable)
        if not ours or not text or ours[1] in known or _is_service_link(variable, text):
            continue
        from difflib import get_close_matches  # noqa: PLC0415  # It takes 5 ms, and is rarely needed.

        nearest = get_close_matches(ours[1].upper(), known, n=1)
        yield variable, variable_of(nearest[0]) if nearest else ""


def variable_of(setting: str) -> str:
    """Return the name of the environment variable of a setting."""
    return f"PETS_{setting.upper()}"


def _value(environment: Mapping[str, str], variable: str) -> str:
    return environment.get(variable, "").strip()


def _is_service_link(variable: str, text: str) -> bool:
    is_port = variable.endswith("_PORT") and _KUBELET.match(text)
    return bool(is_port or _SERVICE_LINK.fullmatch(variable))


def _check_text(variable: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError:  # Python keeps bytes that are not UTF-8 as surrogates.
        raise SettingsError(f"{variable}: the value is not valid UTF-8") from None


def _integer(variable: str, text: str) -> int:
    try:
        return int(text)
    except ValueError:
        raise SettingsError(f"{variable}: {text!r} is not an integer") from None


def _boolean(variable: str, text: str) -> bool:
    value = _BOOLEANS.get(text.lower())
    if value is None:
        known = ", ".join(_BOOLEANS)
        raise SettingsError(f"{variable}: {text!r} is none of {known}")
    return value


def _text(_variable: str, text: str) -> str:
    return text


# Any: the type of a field is whatever its annotation says.
_READERS: Final[Mapping[Any, Callable[[str, str], Any]]] = {
    str: _text,
    int: _integer,
    bool: _boolean,
}
