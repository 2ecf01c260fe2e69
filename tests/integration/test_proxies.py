"""The service behind real proxies: below a path, and with compressed answers."""

import os
import re
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final
from urllib.parse import urljoin

import httpx
import pytest

from tests.integration.browser import needs_chromium, new_page
from tests.integration.served import Served, served
from tests.integration.test_security import wait_until_open

pytestmark = pytest.mark.thorough

PAGE: Final = Path(__file__).parents[2] / "docs" / "operation.md"
PATH: Final = f"{os.environ['PATH']}:/usr/sbin"
ROOT: Final = "/shop"
BOY: Final = {"name": "boy", "age": 7, "type": "dog"}

NGINX: Final = """
pid FOLDER/nginx.pid;
error_log stderr;
daemon off;
events {{}}
http {{
    access_log off;
    client_body_temp_path FOLDER/body;
    proxy_temp_path FOLDER/proxy;
    fastcgi_temp_path FOLDER/fastcgi;
    uwsgi_temp_path FOLDER/uwsgi;
    scgi_temp_path FOLDER/scgi;
    {}
}}
"""
APACHE: Final = """
ServerName localhost
ServerRoot FOLDER
PidFile FOLDER/apache.pid
ErrorLog /dev/stderr
DefaultRuntimeDir FOLDER
LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule proxy_module /usr/lib/apache2/modules/mod_proxy.so
LoadModule proxy_http_module /usr/lib/apache2/modules/mod_proxy_http.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
"""
CADDY: Final = "{{\n    admin off\n    auto_https off\n    storage file_system FOLDER\n}}\n{}"

HAPROXY_COMPRESSES: Final = """
defaults
    mode http
    timeout connect 5s
    timeout client 30s
    timeout server 30s

listen pets
    bind 127.0.0.1:8080
    compression algo gzip
    compression type application/json
    server pets 127.0.0.1:3000
"""
NGINX_COMPRESSES: Final = """
server {
    listen 127.0.0.1:8080;
    gzip on;
    gzip_types application/json;
    gzip_min_length 1;
    location / {
        proxy_pass http://127.0.0.1:3000;
    }
}
"""
CADDY_COMPRESSES: Final = """
http://127.0.0.1:8080 {
    encode {
        gzip
        minimum_length 1
    }
    reverse_proxy 127.0.0.1:3000
}
"""
APACHE_COMPRESSES: Final = """
Listen 127.0.0.1:8080
ProxyPass / http://127.0.0.1:3000/
AddOutputFilterByType DEFLATE application/json
"""


def haproxy(config: str, folder: Path) -> list[str]:
    file = folder / "haproxy.cfg"
    file.write_text(config)
    return ["haproxy", "-db", "-f", str(file)]


def nginx(config: str, folder: Path) -> list[str]:
    file = folder / "nginx.conf"
    file.write_text(NGINX.format(config).replace("FOLDER", str(folder)))
    return ["nginx", "-p", str(folder), "-c", str(file)]


def caddy(config: str, folder: Path) -> list[str]:
    file = folder / "Caddyfile"
    file.write_text(CADDY.format(config).replace("FOLDER", str(folder)))
    return ["caddy", "run", "--adapter", "caddyfile", "--config", str(file)]


def apache2(config: str, folder: Path) -> list[str]:
    file = folder / "apache.conf"
    file.write_text((APACHE + config).replace("FOLDER", str(folder)))
    return ["apache2", "-DFOREGROUND", "-f", str(file)]


Proxy = Callable[[str, Path], list[str]]
PROXIES: Final = [haproxy, nginx, caddy]


@contextmanager
def behind(proxy: Proxy, config: str, service: Served, folder: Path) -> Iterator[httpx.Client]:
    """Run a proxy in front of the service."""
    if shutil.which(proxy.__name__, path=PATH) is None:
        pytest.skip(f"{proxy.__name__} is not installed")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    config = config.replace("127.0.0.1:8080", f"127.0.0.1:{port}")
    command = proxy(config.replace("127.0.0.1:3000", f"127.0.0.1:{service.port}"), folder)
    environment = {"PATH": PATH, "HOME": str(folder)}
    with subprocess.Popen(command, env=environment, stderr=subprocess.DEVNULL) as process:
        try:
            wait_until_open(port)
            with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=10) as client:
                yield client
        finally:
            process.terminate()


@pytest.fixture(scope="module")
def below() -> Iterator[Served]:
    with served("memory://", PETS_ROOT_PATH=ROOT) as service:
        yield service


@pytest.fixture(scope="module")
def plain() -> Iterator[Served]:
    with served("memory://") as service:
        yield service


@pytest.fixture(params=PROXIES, ids=lambda proxy: proxy.__name__)
def shop(request: pytest.FixtureRequest, below: Served, tmp_path: Path) -> Iterator[httpx.Client]:
    """The service below /shop, behind a proxy as the page says it."""
    name = request.param.__name__
    (config,) = re.findall(rf"^```{name}\n(.*?)^```$", PAGE.read_text(), re.MULTILINE | re.DOTALL)
    with behind(request.param, config, below, tmp_path) as client:
        yield client


def test_every_path_that_a_client_is_given_leads_on(shop: httpx.Client) -> None:
    made = shop.post("/shop/pets/", json=BOY)
    assert shop.get(made.headers["location"]).json() == made.json()
    shop.post("/shop/pets/", json=BOY)
    page = shop.get("/shop/pets/", params={"limit": 1, "name": "Bo"})
    following = shop.get(page.links["next"]["url"])
    assert following.status_code == 200
    assert following.json()["items"] != page.json()["items"]
    assert shop.get("/shop/pets/0").json()["instance"] == "/shop/pets/0"


def test_the_page_of_the_api_works_below_a_path(shop: httpx.Client) -> None:
    docs = shop.get("/shop/", follow_redirects=True)
    assert docs.url.path == "/shop/docs"
    script = shop.get("/shop/docs/docs.js").text
    paths = re.findall(r'"(/[^"]+)"', docs.text + script)
    assert len(paths) == 5
    for path in paths:
        assert shop.get(path).status_code == 200
    described = shop.get("/shop/schema/openapi.json")
    (server,) = described.json()["servers"]
    base = urljoin(str(described.url), server["url"])
    assert shop.get(f"{base}/pets/").status_code == 200


@needs_chromium
def test_the_page_calls_the_service_below_its_path(shop: httpx.Client) -> None:
    with new_page() as page:
        page.goto(f"{shop.base_url}/shop/docs")
        operation = page.locator("#operations-health-isLive")
        operation.locator(".opblock-summary-control").click()
        operation.get_by_role("button", name="Try it out").click()
        operation.get_by_role("button", name="Execute").click()
        answer = operation.locator(".live-responses-table")
        answer.wait_for()
        assert answer.locator(".response-col_status").last.inner_text().startswith("200")


# Newer versions of Caddy append the coding as Apache does.
COMPRESSING: Final = {
    "haproxy": (haproxy, HAPROXY_COMPRESSES, ['W/"{}"']),
    "nginx": (nginx, NGINX_COMPRESSES, ['W/"{}"']),
    "caddy": (caddy, CADDY_COMPRESSES, ['"{}"', '"{}-gzip"']),
    "apache2": (apache2, APACHE_COMPRESSES, ['"{}-gzip"']),
}


@pytest.mark.parametrize(("proxy", "config", "forms"), COMPRESSING.values(), ids=COMPRESSING)
def test_the_tag_of_a_compressed_answer_guards_a_change(
    plain: Served, tmp_path: Path, proxy: Proxy, config: str, forms: list[str]
) -> None:
    path = plain.request("POST", "/pets/", json=BOY).headers["location"]
    own = plain.request("GET", path).headers["etag"].strip('"')
    with behind(proxy, config, plain, tmp_path) as client:
        pet = client.get(path, headers={"Accept-Encoding": "gzip"})
        assert pet.headers["content-encoding"] == "gzip"
        tag = pet.headers["etag"]
        assert tag in {form.format(own) for form in forms}
        assert client.get(path, headers={"If-None-Match": tag}).status_code == 304
        condition = {"If-Match": tag}
        assert client.patch(path, json={"age": 8}, headers=condition).status_code == 200
        assert client.patch(path, json={"age": 9}, headers=condition).status_code == 412
    assert plain.request("GET", path).json()["age"] == 8
