"""uvicorn as this service runs it. It serves any ASGI application, and imports nothing of pets.

What it adds to uvicorn, from a connection to the processes:

- `heads` and `protocol` check what httptools lets pass: the host, the length of a body, the coding,
  the target of a request, and the size of everything.
- `reading` parses a request when all earlier ones of its connection are answered, and parts of
  2 KiB at a time, so that a client cannot make the server keep or parse much.
- `cycle` writes the head of an answer with its body, and `closing` ends a connection without losing
  the last answer.
- `timeouts` ends clients that are slow and requests that take too long. One sweep a second does it.
- `admission` lets requests begin by turns, while there is room for their work, and rejects those
  that have waited too long. They wait in `queues`.
- `accepting` is an event loop that accepts many connections at once, and none that it could not
  serve. `listening` opens the socket.
- `worker` is a process that serves, and `configuration` says how uvicorn is set up in it.
- `supervisor` starts the workers, watches them, and replaces those that end. `signals` says what
  signals do to it, and `systemd` is told when it serves and when it stops.

What it does not know it is given:

- An `Admission` gets the application, the functions that tell whether there is room for more work,
  and which requests are urgent or expensive.
- It also gets a function that makes the answer to a `Refusal`: a request that the server answers
  itself, with status 400, 408 or 431, or 503 when the request has waited too long. If the body of a
  request is refused, the application has begun already. Then `receive` raises the `Refusal`, and
  the application answers.
- If a request had to wait, `scope["arrived"]` is the time of `perf_counter` when it began to.
- `CannotServe` is raised if a service cannot begin, for example because its port is taken.

`tests/integration/serving/test_lifted_out.py` serves an application of a few lines through it.

uvicorn documents only `Config` and the methods of `Server`, so each version may rename the other
names that this package relies on. `tests/unit/serving/test_uvicorn.py` fails if one of them is
gone, and if this list is not complete:

- `HttpToolsProtocol` overridden: `on_body`, `on_header`, `on_headers_complete`,
  `on_message_complete`, `on_response_complete`, `shutdown`.
- `HttpToolsProtocol` used: `access_log`, `access_logger`, `app`, `cycle`, `expect_100_continue`,
  `flow`, `headers`, `logger`, `loop`, `on_message_begin`, `parser`, `scope`, `server_state`,
  `tasks`, `transport`, `url`.
- `RequestResponseCycle` overridden: `send`.
- `RequestResponseCycle` used: `body`, `disconnected`, `keep_alive`, `message_event`, `on_response`,
  `response_complete`, `response_started`, `run_asgi`, `scope`, `transport`,
  `waiting_for_100_continue`.
- `FlowControl` overridden: `drain`, `resume_reading`.
- `FlowControl` used: `_transport`, `pause_reading`, `read_paused`, `write_paused`.
- `Server` overridden: `shutdown`, `startup`.
- `Server` used: `serve`, `servers`.
- `ServerState` used: `connections`, `default_headers`, `tasks`, `total_requests`.
"""
