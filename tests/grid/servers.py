"""Run as a program: one real server on a free port of loopback, that tells what it reads.

``python -m tests.grid.servers NAME PORT``. For each request it prints a line of JSON: the
method, the target, the length and digest of the body, and the id that apiproxy gave it.
"""

# mypy: disable-error-code="import-untyped,import-not-found,misc,no-untyped-call,unused-ignore"

import asyncio
import hashlib
import json
import sys
from typing import Any


def tell(method: str, target: str, body: bytes, id: str | None) -> None:
    """Print what was read."""
    row = {
        "method": method,
        "target": target,
        "length": len(body),
        "digest": hashlib.sha256(body).hexdigest(),
        "id": id,
    }
    sys.stdout.write(json.dumps(row) + "\n")
    sys.stdout.flush()


def twisted(port: int) -> None:
    """twisted.web."""
    from twisted.internet import reactor  # noqa: TID251  # a program of its own
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    class Told(Resource):
        isLeaf = True

        def render(self, request: Any) -> bytes:
            tell(
                request.method.decode("latin-1"),
                request.uri.decode("latin-1"),
                request.content.read(),
                request.getHeader("x-request-id"),
            )
            return b"ok"

    loop: Any = reactor
    loop.listenTCP(port, Site(Told()), interface="127.0.0.1")
    loop.run()


def aiohttp(port: int) -> None:
    """aiohttp.web."""
    from aiohttp import web

    async def told(request: Any) -> Any:
        body = await request.read()
        tell(
            request.method, request.raw_path, body, request.headers.get("x-request-id")
        )
        return web.Response(text="ok")

    app = web.Application(client_max_size=1 << 26)
    app.router.add_route("*", "/{any:.*}", told)
    web.run_app(app, host="127.0.0.1", port=port, print=None, handle_signals=False)


def tornado(port: int) -> None:
    """tornado.httpserver."""
    from tornado import web

    class Told(web.RequestHandler):
        SUPPORTED_METHODS = (*web.RequestHandler.SUPPORTED_METHODS, "PROPFIND")

        def prepare(self) -> None:
            request = self.request
            id = request.headers.get("x-request-id")
            tell(request.method, request.uri, request.body, id)
            self.finish("ok")

    async def main() -> None:
        web.Application([(".*", Told)]).listen(port, "127.0.0.1")
        await asyncio.Event().wait()

    asyncio.run(main())


async def asgi(scope: Any, receive: Any, send: Any) -> None:
    """An application for uvicorn."""
    if scope["type"] != "http":
        return
    body, more = b"", True
    while more:
        message = await receive()
        body += message.get("body", b"")
        more = message.get("more_body", False)
    id = dict(scope["headers"]).get(b"x-request-id")
    query = b"?" + scope["query_string"] if scope["query_string"] else b""
    target = (scope["raw_path"] + query).decode("latin-1")
    tell(scope["method"], target, body, id and id.decode())
    head = {"type": "http.response.start", "status": 200, "headers": []}
    await send(head)
    await send({"type": "http.response.body", "body": b"ok"})


def uvicorn(port: int) -> None:
    """uvicorn, with h11."""
    import uvicorn as server

    server.run(asgi, host="127.0.0.1", port=port, log_level="critical", http="h11")


def wsgi(environ: Any, start_response: Any) -> list[bytes]:
    """An application for gunicorn."""
    body = environ["wsgi.input"].read()
    id = environ.get("HTTP_X_REQUEST_ID")
    tell(environ["REQUEST_METHOD"], environ["RAW_URI"], body, id)
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


def gunicorn(port: int) -> None:
    """gunicorn, with threads so that connections are kept."""
    from gunicorn.app.wsgiapp import run

    sys.argv = [
        "gunicorn",
        "-b",
        f"127.0.0.1:{port}",
        "-k",
        "gthread",
        "--threads",
        "4",
    ]
    sys.argv += ["--log-level", "critical", "tests.grid.servers:wsgi"]
    run()


if __name__ == "__main__":
    {
        "twisted": twisted,
        "aiohttp": aiohttp,
        "tornado": tornado,
        "uvicorn": uvicorn,
        "gunicorn": gunicorn,
    }[sys.argv[1]](int(sys.argv[2]))
