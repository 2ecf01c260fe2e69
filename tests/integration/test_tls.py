"""Connections to PostgreSQL over TLS, as its options ask for it."""

import asyncio
import shutil
import ssl
import subprocess
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import closing, contextmanager, suppress
from pathlib import Path
from typing import Final

import pytest
from sqlalchemy import make_url

from pets.cli.main import main
from tests.integration.test_startup import through

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="needs openssl")

PASSPHRASE: Final = "hunter2"


class Certificates:
    """Certificates of 127.0.0.1 and of a client, and two authorities, of which one made them."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # The configuration of the system would make each of them an authority.
        self._config = folder / "openssl.cnf"
        self._config.write_text("[req]\ndistinguished_name = name\n[name]\n")
        signs = ("basicConstraints=critical,CA:TRUE", "keyUsage=critical,keyCertSign,cRLSign")
        self.authority = self._make("authority", signs)
        self.other_authority = self._make("other", signs)
        # Python 3.13 and newer ask for all that RFC 5280 asks for.
        leaf = ("basicConstraints=CA:FALSE", "authorityKeyIdentifier=keyid")
        key = self.authority.with_suffix(".key")
        signed = ("-CA", str(self.authority), "-CAkey", str(key), "-passin", f"pass:{PASSPHRASE}")
        self.server = self._make("server", (*leaf, "subjectAltName=IP:127.0.0.1"), *signed)
        self.client = self._make("client", (*leaf, "extendedKeyUsage=clientAuth"), *signed)

    def _make(self, name: str, extensions: Sequence[str], *options: str) -> Path:
        certificate = self._folder / f"{name}.crt"
        new = ["-x509", "-config", str(self._config), "-subj", f"/CN={name}"]
        for extension in ("subjectKeyIdentifier=hash", *extensions):
            new += ["-addext", extension]
        new += ["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
        files = ["-out", str(certificate), "-keyout", str(certificate.with_suffix(".key"))]
        subprocess.run(
            ["openssl", "req", *new, *options, *files, "-passout", f"pass:{PASSPHRASE}"],
            check=True,
            capture_output=True,
        )
        return certificate


@pytest.fixture(scope="module")
def certificates(tmp_path_factory: pytest.TempPathFactory) -> Certificates:
    return Certificates(tmp_path_factory.mktemp("certificates"))


@contextmanager
def offered(url: str, context: ssl.SSLContext) -> Iterator[int]:
    """Offer a PostgreSQL over TLS, as a pooler does. Return the port."""
    ready: Future[int] = Future()
    done: Future[None] = Future()
    with ThreadPoolExecutor() as pool:
        serving = pool.submit(asyncio.run, _serve(url, context, ready, done))
        try:
            yield ready.result(10)
        finally:
            done.set_result(None)
        serving.result()


async def _serve(
    url: str, context: ssl.SSLContext, ready: "Future[int]", done: "Future[None]"
) -> None:
    handlers = []

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        handlers.append(asyncio.current_task())
        with closing(writer), suppress(OSError):  # Either side may not trust the other one.
            await reader.readexactly(8)  # the request for TLS
            writer.write(b"S")
            await writer.start_tls(context)
            answers, requests = await _connect(url)
            with closing(requests):
                await asyncio.gather(_pump(reader, requests), _pump(answers, writer))

    server = await asyncio.start_server(handle, "127.0.0.1", 0)
    async with server:
        ready.set_result(server.sockets[0].getsockname()[1])
        await asyncio.wrap_future(done)
    for handler in filter(None, handlers):
        await handler  # It ends a moment after its client.


async def _connect(url: str) -> tuple[asyncio.StreamReader, asyncio.StreamWriter]:
    parts = make_url(url)
    port = parts.port or 5432
    if folder := parts.query.get("host"):
        return await asyncio.open_unix_connection(f"{folder}/.s.PGSQL.{port}")
    return await asyncio.open_connection(parts.host, port)


async def _pump(source: asyncio.StreamReader, target: asyncio.StreamWriter) -> None:
    while data := await source.read(65536):
        target.write(data)
        await target.drain()
    target.close()


@pytest.fixture
def context(certificates: Certificates) -> ssl.SSLContext:
    """What the server shows, and asks of its clients."""
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=certificates.authority)
    key = certificates.server.with_suffix(".key")
    context.load_cert_chain(certificates.server, key, PASSPHRASE)
    return context


def doctor(url: str, options: str) -> int:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PETS_DATABASE_URL", f"{url}?{options}")
        return main(["doctor"])


def test_a_server_proves_that_it_has_a_certificate_of_the_authority(
    postgresql_url: str,
    certificates: Certificates,
    context: ssl.SSLContext,
    capsys: pytest.CaptureFixture[str],
) -> None:
    with offered(postgresql_url, context) as port:
        url = through(port, postgresql_url)
        trusted = f"sslrootcert={certificates.authority}"
        assert doctor(url, f"sslmode=verify-full&{trusted}") == 0
        elsewhere = url.replace("127.0.0.1", "localhost")
        assert doctor(elsewhere, f"sslmode=verify-ca&{trusted}") == 0
        capsys.readouterr()
        assert doctor(elsewhere, f"sslmode=verify-full&{trusted}") == 1
        other = f"sslmode=verify-full&sslrootcert={certificates.other_authority}"
        assert doctor(url, other) == 1
    wrong_name, wrong_authority = capsys.readouterr().err.splitlines()
    assert "certificate is not valid for 'localhost'" in wrong_name
    assert "certificate verify failed" in wrong_authority


def test_the_authorities_of_the_system_can_be_trusted(
    postgresql_url: str,
    certificates: Certificates,
    context: ssl.SSLContext,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with offered(postgresql_url, context) as port:
        url = through(port, postgresql_url)
        assert doctor(url, "sslrootcert=system") == 1
        monkeypatch.setenv("SSL_CERT_FILE", str(certificates.authority))
        assert doctor(url, "sslrootcert=system") == 0


def test_a_client_proves_that_it_has_a_certificate(
    postgresql_url: str,
    certificates: Certificates,
    context: ssl.SSLContext,
    capsys: pytest.CaptureFixture[str],
) -> None:
    context.verify_mode = ssl.CERT_REQUIRED
    key = certificates.client.with_suffix(".key")
    pair = f"sslcert={certificates.client}&sslkey={key}"
    with offered(postgresql_url, context) as port:
        url = through(port, postgresql_url)
        assert doctor(url, f"sslmode=require&{pair}&sslpassword={PASSPHRASE}") == 0
        capsys.readouterr()
        assert doctor(url, "sslmode=require") == 1
        assert doctor(url, f"sslmode=require&{pair}&sslpassword=wrong") == 1
    assert len(capsys.readouterr().err.splitlines()) == 2
