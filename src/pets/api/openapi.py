"""The OpenAPI document."""

from typing import Any, Final

import msgspec
from litestar import Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License, Server, Tag

from pets import __version__
from pets.api import schemas
from pets.api.access import OPEN
from pets.api.application import Application
from pets.api.body import JSON_TYPES
from pets.api.compression import GZIP, VARY, accepts_gzip, compress
from pets.api.descriptions import (
    CHALLENGE,
    DESCRIPTIONS,
    HEADERS_OF_ALL,
    JSON,
    REFERENCE,
    REFERENCES_TO_HEADERS,
    RETRY_AFTER,
    SCHEMES,
)
from pets.api.examples import add_examples
from pets.api.problem_document import Problem
from pets.api.problem_types import TYPES
from pets.api.problems import MEDIA_TYPE
from pets.api.root_path import below

# The guides have no address of their own, because the source is not at a known one.
_DESCRIPTION: Final = f"""\
Dogs and cats: create, find, change and delete them.

The guides are in the folder `docs` of the source code. `api.md` explains each call,
`clients.md` shows it with curl, HTTPie, Python and JavaScript, and `limits.md` has all limits.

The `type` of a problem leads to a page that explains it, unless its status says everything:
{", ".join(f"[{type_}]({type_})" for type_ in TYPES)}.
"""
_PATHS_IN: Final = {"Link", "Location"}
"""The headers whose values have paths of this service."""

_COMPONENTS: Final = [
    schemas.Pet,
    schemas.PetCreate,
    schemas.PetUpdate,
    schemas.PetPage,
    schemas.PetStats,
    schemas.PetsDelete,
    schemas.PetsDeleted,
    schemas.Health,
    Problem,
]


def document(app: Application) -> JSON:
    """Return Litestar's OpenAPI document, completed with facts that Litestar does not know.

    - The components come from msgspec, which enforces them. Litestar leaves out that unknown
      members are refused, and rounds 2^63-1.
    - The path of the collection gets its trailing slash, though the path without it works too.
    - The options `body`, `query` and `header` of a handler describe the parts that it reads from
      the raw request. Its option `answer_headers` describes the headers of its answers, by status,
      and `answer_body` their bodies, if Litestar cannot. `answer_content` has other media types.
    """
    options: JSON = {}
    for handlers in app.route_handler_method_map.values():
        for handler in handlers.values():
            if isinstance(handler, HTTPRouteHandler):
                options[str(handler.operation_id)] = handler.opt
    document = app.openapi_schema.to_schema()
    paths = {}
    for path, item in document["paths"].items():
        paths["/pets/" if path == "/pets" else path] = item
        for operation in item.values():
            _complete(operation, options[operation["operationId"]], app.root_path)
    if app.needs_key:
        _require_key(paths)
    with below(app.root_path):
        add_examples(paths)
    _, components = msgspec.json.schema_components(_COMPONENTS, ref_template=REFERENCE)
    for name in ("type", "instance"):
        member = components["Problem"]["properties"][name]
        member["description"] = member["description"].replace(" /", f" {app.root_path}/")
        member["examples"] = [f"{app.root_path}{path}" for path in member["examples"]]
    described: JSON = {"schemas": components, "headers": HEADERS_OF_ALL}
    if app.needs_key:
        described["securitySchemes"] = SCHEMES
    document |= {"paths": paths, "components": described}
    _complete_schemas(document)
    return document


def _require_key(paths: JSON) -> None:
    for path, item in paths.items():
        if path in OPEN:
            continue
        for method, operation in item.items():
            operation["security"] = [{scheme: []} for scheme in SCHEMES]
            statuses = (401,) if method == "get" else (401, 403)
            for status in statuses:
                operation["responses"][str(status)] = {
                    "description": DESCRIPTIONS[status],
                    "headers": REFERENCES_TO_HEADERS | {"WWW-Authenticate": CHALLENGE},
                    "content": {MEDIA_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
                }


def _complete_schemas(part: Any) -> None:  # Any: whatever JSON can hold.
    """Give each integer that has a maximum the format that holds it, and each enum its type.

    msgspec leaves out both. Without its type, an enum is shown as "any".
    """
    if isinstance(part, dict):
        if part.get("type") == "integer" and "maximum" in part:
            part["format"] = "int32" if part["maximum"] < 2**31 else "int64"
        if "enum" in part:
            part.setdefault("type", "string")
        part = list(part.values())
    if isinstance(part, list):
        for inner in part:
            _complete_schemas(inner)


def _complete(operation: JSON, options: JSON, root_path: str) -> None:
    parameters = operation.setdefault("parameters", [])
    for place in ("query", "header"):
        for name, described in options.get(place, {}).items():
            parameters.append({"in": place, "name": name} | described)
    if "body" in options:
        operation["requestBody"] = options["body"]
    for status, schema in options.get("answer_body", {}).items():
        operation["responses"][str(status)]["content"] = {JSON_TYPES[0]: {"schema": schema}}
    for status, content in options.get("answer_content", {}).items():
        operation["responses"][str(status)]["content"] |= content
    headers = {503: {"Retry-After": RETRY_AFTER}} | options.get("answer_headers", {})
    for status, response in operation["responses"].items():
        response["headers"] = {**REFERENCES_TO_HEADERS}
        for name, described in headers.get(int(status), {}).items():
            response["headers"][name] = {"required": True} | described
            if root_path and name in _PATHS_IN:
                response["headers"][name]["schema"] = _below(root_path, described["schema"])


def _below(root_path: str, schema: JSON) -> JSON:
    """Return the schema of a header whose values have paths below the root path."""
    pattern, escaped = schema["pattern"], root_path.replace(".", r"\.")
    own = {
        "pattern": pattern.replace("^/pets/", f"^{escaped}/pets/"),
        "examples": [
            example.replace("/pets/", f"{root_path}/pets/", 1) for example in schema["examples"]
        ],
    }
    if "maxLength" in schema:
        own["maxLength"] = schema["maxLength"] + len(root_path)
    return schema | own


class _Document(JsonRenderPlugin):
    """Writes and compresses the document once, because that takes as long as 50 listings."""

    _written = b""
    _compressed = b""

    def render(self, request: Request[Any, Any, Any], openapi_schema: JSON) -> bytes:  # noqa: ARG002
        if not self._written:
            assert isinstance(request.app, Application)
            self._written = msgspec.json.encode(document(request.app))
            self._compressed = compress(self._written)
        return self._compressed if accepts_gzip(request.scope) else self._written


# Any: Litestar knows of no narrower type of answer here.
def _complete_answer(response: Response[Any]) -> Response[Any]:
    # For any other path below /schema, Litestar's own answer is a page of HTML.
    if response.status_code == 404:
        raise NotFoundException
    headers = [VARY] if response.content.startswith(b"{") else [VARY, GZIP]
    for name, value in headers:
        response.set_header(name.decode(), value.decode())
    return response


def openapi_config(root_path: str) -> OpenAPIConfig:
    """Return what Litestar needs to know for the document of a service below this path."""
    return OpenAPIConfig(
        title="Pets",
        version=__version__,
        description=_DESCRIPTION.replace("(/", f"({root_path}/"),
        servers=[Server(url=root_path or "/")],
        license=License(name="MIT", identifier="MIT"),
        tags=[
            Tag(name="pets", description="The pets: all of them, and each."),
            Tag(name="health", description="For operators of the service."),
        ],
        render_plugins=[_Document()],
        openapi_router=Router(
            "/schema", route_handlers=[], include_in_schema=False, after_request=_complete_answer
        ),
    )
