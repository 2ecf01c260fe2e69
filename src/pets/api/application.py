"""The application: refusals, and answers to HEAD, OPTIONS and cancelled requests."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import Any, Final

from litestar import Litestar

from pets.api.access import Guard
from pets.api.answer import Answer, allow
from pets.api.api_keys import ApiKeys
from pets.api.body import MERGE_PATCH_TYPES, NEW_PETS_TYPES
from pets.api.cors import CrossOrigin
from pets.api.hosts import KnownHosts
from pets.api.problem_types import NOT_DONE, OUTCOME_UNKNOWN
from pets.api.problems import RETRY_AFTER_SECONDS, problem_for
from pets.api.root_path import BelowRootPath
from pets.asgi import IS_HEAD, SAFE_METHODS, ASGIApp, Message, Receive, Scope, Send, path_as_sent
from pets.telemetry.request_context import Observe, RequestContext

logger = logging.getLogger(__name__)

MAX_PATH_LENGTH: Final = 100
"""No path of this service is longer. Litestar would cache 1,024 longer paths, of any length."""

_NO_PATH: Final = "/no-path"
"""Nothing is at this path."""


class Application(Litestar):
    """Answers HEAD like GET but without the body, and OPTIONS with all methods of the path.

    For `*` these are the methods of the whole service (RFC 9110, 9.3.2 and 9.3.7). The application
    also keeps an encoded slash apart from a slash (RFC 3986, 2.2), because the server decodes a
    path before it is routed.

    A request that the server cancels, because its time is over, is answered with 503.
    """

    def __init__(  # noqa: PLR0913  # Each is a concern of its own, and most have one caller.
        self,
        *,
        keys: ApiKeys | None = None,
        hosts: frozenset[str] = frozenset(),
        origins: frozenset[str] = frozenset(),
        root_path: str = "",
        observers: Sequence[Observe] = (),
        add_spans: Callable[[ASGIApp], ASGIApp] | None = None,
        **options: Any,  # Any: they are Litestar's.
    ) -> None:
        """Create the application. `options` are those of Litestar.

        Without `keys` no request needs one. Without `hosts` requests to any host are answered.
        Without `origins` no page of another origin may read an answer. A proxy removes the
        `root_path` from the path of each request. Each of the `observers` is called after each
        request, and `add_spans` surrounds the application.
        """
        super().__init__(**options)
        self.needs_key = keys is not None
        self.root_path = root_path
        self._origins = origins
        self._observers = observers
        self._add_spans = add_spans
        self._refusals: list[Callable[[Scope], Answer | None]] = []
        if hosts:
            self._refusals.append(KnownHosts(hosts).refusal)
        if keys:
            self._refusals.append(Guard(keys).refusal)
        self._in_context = self.around(self._refuse_or_answer if self._refusals else self._answer)

    def around(self, app: ASGIApp) -> RequestContext:
        """Return an application whose requests are observed as those of this one are.

        Its answers have the headers that all answers of this one have.
        """
        if self.root_path:
            app = BelowRootPath(app, self.root_path)
        # A cache may keep an answer, but must ask each time whether it is still true. A shared one
        # may not keep it if there are keys, because it does not know that `X-API-Key` is a secret.
        caching = b"private, no-cache" if self.needs_key else b"no-cache"
        answer_headers = [(b"x-content-type-options", b"nosniff"), (b"cache-control", caching)]
        if self._origins:
            app = cross_origin = CrossOrigin(app, self._origins)
            answer_headers += cross_origin.answer_headers
        if self._add_spans:
            app = self._add_spans(app)
        return RequestContext(app, self._observers, answer_headers)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._in_context(scope, receive, send)

    async def _refuse_or_answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            for refusal_of in self._refusals:
                refusal = refusal_of(scope)
                if refusal is not None:
                    await refusal(scope, receive, send)
                    return
        await self._answer(scope, receive, send)

    async def _answer(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            if b"%" in scope["raw_path"]:
                path = scope["raw_path"].partition(b"?")[0]
                if b"%2f" in path.lower():
                    scope["path"] = path.decode("latin-1")  # No route matches `%2F`.
            method = scope["method"]
            if method == "HEAD":
                await self._answer_head(scope, receive, send)
                return
            if method == "OPTIONS" and scope["path"] == "*":
                await self._answer_for_all(scope, receive, send)
                return
            if method == "OPTIONS":
                send = partial(self._send_options, scope, send)
            if len(scope["path"]) > MAX_PATH_LENGTH:
                scope["path"] = _NO_PATH
        try:
            await super().__call__(scope, receive, send)
        except asyncio.CancelledError:
            if scope["type"] != "http":
                raise
            with suppress(RuntimeError):  # The answer has begun.
                await _send_no_answer(scope, receive, send)

    async def _answer_head(self, scope: Scope, receive: Receive, send: Send) -> None:
        get = scope | {"method": "GET", IS_HEAD: True}
        try:
            await self._answer(get, receive, partial(_send_head, send))
        finally:
            scope["path_template"] = get.get("path_template", "")  # for the observers

    async def _answer_for_all(self, scope: Scope, receive: Receive, send: Send) -> None:
        methods: set[str] = set()
        for route in self.routes:
            methods.update(route.methods)
        answer = Answer(204, b"", (b"allow", allow(methods).encode()))
        await answer(scope, receive, send)

    async def _send_options(self, scope: Scope, send: Send, message: Message) -> None:
        # Litestar names only the methods of the handler that it registered first.
        if message["type"] == "http.response.start" and "path_template" in scope:
            path = scope["path_template"]
            (route,) = [route for route in self.routes if route.path_format == path]
            answer_headers = [(b"allow", allow(route.methods).encode())]
            if "POST" in route.methods:
                answer_headers.append((b"accept-post", ", ".join(NEW_PETS_TYPES).encode()))
            if "PATCH" in route.methods:
                answer_headers.append((b"accept-patch", ", ".join(MERGE_PATCH_TYPES).encode()))
            message = message | {"headers": answer_headers}
        await send(message)


async def _send_head(send: Send, message: Message) -> None:
    if message["type"] == "http.response.body":
        message = message | {"body": b""}
    await send(message)


async def _send_no_answer(scope: Scope, receive: Receive, send: Send) -> None:
    method = scope["method"]
    logger.error("%s %s was not answered in time", method, path_as_sent(scope["raw_path"]))
    retry_after = (b"retry-after", b"%d" % RETRY_AFTER_SECONDS)
    type_ = NOT_DONE if method in SAFE_METHODS else OUTCOME_UNKNOWN
    detail = "The service did not answer in time."
    answer = problem_for(scope, 503, detail, retry_after, type_=type_)
    await answer(scope, receive, send)
