"""The OpenAPI document."""

from collections.abc import Iterable, Mapping
from importlib.metadata import version
from types import MappingProxyType
from typing import Any, Final

import msgspec
from litestar import Request, Response, Router
from litestar.exceptions import NotFoundException
from litestar.handlers import HTTPRouteHandler
from litestar.openapi import OpenAPIConfig, ResponseSpec
from litestar.openapi.plugins import JsonRenderPlugin
from litestar.openapi.spec import License, Server, Tag
from msgspec import Struct

from pets.api import schemas
from pets.api.access import CHALLENGES, OPEN
from pets.api.application import Application
from pets.api.body import JSON_TYPES, MAX_BODY_BYTES
from pets.api.compression import GZIP, VARY, accepts_gzip, compress
from pets.api.examples import add_examples
from pets.api.problem_types import TYPES
from pets.api.problems import BUG, MAX_RETRY_AFTER_SECONDS, MEDIA_TYPE, RETRY_AFTER_SECONDS
from pets.api.root_path import below
from pets.telemetry.request_context import MAX_REQUEST_ID_LENGTH, REQUEST_ID_PATTERN

_REFERENCE: Final = "#/components/schemas/{name}"

JSON = dict[str, Any]  # Any: whatever JSON can hold.

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

NO_OTHERS: Final[Mapping[str, object]] = MappingProxyType({})
_COMPONENTS: Final = [
    schemas.Pet,
    schemas.PetCreate,
    schemas.PetUpdate,
    schemas.PetPage,
    schemas.PetStats,
    schemas.PetsDelete,
    schemas.PetsDeleted,
    schemas.Health,
    schemas.Problem,
]
_DESCRIPTIONS: Final = {
    400: "The request is malformed or invalid.",
    401: "The request has no valid API key.",
    403: "The API key may only read.",
    406: "`Accept` allows none of the media types of the answer.",
    304: "The client has this already: `If-None-Match` names its tag, or is `*`.",
    404: "There is no such pet.",
    412: "`If-Match` does not name the tag of the pet, or `If-None-Match` does.",
    413: "The body is larger than this operation takes.",
    415: "The body has a media type or a coding that the operation does not take.",
    422: "The `Idempotency-Key` was used for other pets.",
    431: "The path, the query and the header fields are over 64 KiB.",
    500: BUG,
    503: "The store cannot be reached, or the service is overloaded. "
    "`Retry-After` says in how many seconds to try again.",
    507: "The store has no ids left for new pets.",
}
_RETRY_AFTER: Final = {
    "description": "In how many seconds to try again.",
    "schema": {
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_RETRY_AFTER_SECONDS,
        "examples": [RETRY_AFTER_SECONDS],
    },
}
_CHALLENGE: Final = {
    "description": "How to send a key (RFC 6750).",
    "required": True,
    "schema": {"type": "string", "enum": CHALLENGES},
}
_SCHEMES: Final = {
    "bearer": {"type": "http", "scheme": "bearer"},
    "apiKey": {"type": "apiKey", "in": "header", "name": "X-API-Key"},
}
_REQUEST_ID: Final = {
    "description": "The id of the request: the client's own, or else one that was made for it.",
    "required": True,
    "schema": {
        "type": "string",
        "pattern": f"^{REQUEST_ID_PATTERN}$",
        "maxLength": MAX_REQUEST_ID_LENGTH,
    },
}
_CACHE_CONTROL: Final = {
    "description": "A cache must ask each time whether it may still use the answer. It is also "
    "`private` if the service has API keys.",
    "required": True,
    "schema": {"type": "string", "enum": ["no-cache", "private, no-cache"]},
}
_HEADERS_OF_ALL: Final = {"Request-Id": _REQUEST_ID, "Cache-Control": _CACHE_CONTROL}
_REFERENCES_TO_HEADERS: Final = {
    name: {"$ref": f"#/components/headers/{name}"} for name in _HEADERS_OF_ALL
}


def described_answers(
    success: int, struct: type[Struct] | None, description: str, *statuses: int
) -> dict[int, ResponseSpec]:
    """Return the description of an operation's answers: the success, and the other statuses."""
    responses = {success: ResponseSpec(struct, generate_examples=False, description=description)}
    for status in statuses:
        responses[status] = ResponseSpec(
            None if status == 304 else schemas.Problem,
            generate_examples=False,
            description=_DESCRIPTIONS[status],
            media_type=MEDIA_TYPE,
        )
    return responses


def described_body(
    *kinds: Any,  # Any: mypy knows no type of annotations.
    media_types: Iterable[str] = JSON_TYPES,
    required: bool = True,
    max_bytes: int = MAX_BODY_BYTES,
    others: Mapping[str, object] = NO_OTHERS,
) -> JSON:
    """Return the description of a body that holds a value of one of these kinds.

    `others` describes it in media types that are not JSON.
    """
    content = {"schema": described_schema(*kinds)}
    return {
        "description": f"At most {max_bytes // 1024} KiB.",
        "required": required,
        "content": {**dict.fromkeys(media_types, content), **others},
    }


def described_schema(*kinds: Any) -> JSON:  # Any: as above.
    """Return the schema of values of these kinds. It refers to the structs of the document."""
    schemas, _ = msgspec.json.schema_components(kinds, ref_template=_REFERENCE)
    return schemas[0] if len(kinds) == 1 else {"anyOf": schemas}


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
    _, components = msgspec.json.schema_components(_COMPONENTS, ref_template=_REFERENCE)
    for name in ("type", "instance"):
        member = components["Problem"]["properties"][name]
        member["description"] = member["description"].replace(" /", f" {app.root_path}/")
        member["examples"] = [f"{app.root_path}{path}" for path in member["examples"]]
    described: JSON = {"schemas": components, "headers": _HEADERS_OF_ALL}
    if app.needs_key:
        described["securitySchemes"] = _SCHEMES
    document |= {"paths": paths, "components": described}
    _complete_schemas(document)
    return document


def _require_key(paths: JSON) -> None:
    for path, item in paths.items():
        if path in OPEN:
            continue
        for method, operation in item.items():
            operation["security"] = [{scheme: []} for scheme in _SCHEMES]
            statuses = (401,) if method == "get" else (401, 403)
            for status in statuses:
                operation["responses"][str(status)] = {
                    "description": _DESCRIPTIONS[status],
                    "headers": _REFERENCES_TO_HEADERS | {"WWW-Authenticate": _CHALLENGE},
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
    headers = {503: {"Retry-After": _RETRY_AFTER}} | options.get("answer_headers", {})
    for status, response in operation["responses"].items():
        response["headers"] = {**_REFERENCES_TO_HEADERS}
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
        version=version("pets"),
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
