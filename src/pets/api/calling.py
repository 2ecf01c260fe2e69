"""Calls handlers without what Litestar does around them and this service does not use."""

from pets.api.answer import Answer
from pets.api.request import ApiRequest
from pets.asgi import ASGIApp, Receive, Scope, Send

_NOTHING = Answer(204)


def call_handler(app: ASGIApp) -> ASGIApp:
    """Return a middleware that calls the handler of a request, and sends its answer.

    The handler takes the request and the parameters of its path, as texts, and returns what answers
    the request, or None for 204. Litestar would collect arguments, convert them, open a stack of
    contexts and look for hooks, a fifth of the time of a small request.
    """

    async def answer(scope: Scope, receive: Receive, send: Send) -> None:
        handler = scope["route_handler"]
        if scope["method"] == "OPTIONS":  # This handler is Litestar's own.
            await app(scope, receive, send)
            return
        request = ApiRequest(scope, receive, send)
        answered = await handler.fn(request=request, **scope["path_params"])
        await (answered or _NOTHING)(scope, receive, send)

    return answer
