"""Services on loopback, and somebody in between."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from typing import Any

import httpx
import uvicorn
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, RedirectResponse, Response, StreamingResponse
from starlette.routing import Route, WebSocketRoute
from starlette.websockets import WebSocket

from sealwire import CallEvent, Identity, Kem, Policy, Rule
from sealwire.asgi import SealwireMiddleware, ServiceKeys, Verify, sender

TUNNEL = "/ohttp"


@contextlib.contextmanager
def serving(app: Any, port: int | None = None) -> Iterator[str]:
    """Serves an app while the block runs: its origin."""
    listening = socket.socket()
    listening.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    listening.bind(("127.0.0.1", port or 0))
    config = uvicorn.Config(app, log_level="critical", lifespan="auto", timeout_graceful_shutdown=1)
    server = uvicorn.Server(config)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listening]}, daemon=True)
    thread.start()
    while not server.started:
        if not thread.is_alive():
            raise RuntimeError("the server did not start")
        threading.Event().wait(0.01)
    try:
        yield f"http://127.0.0.1:{listening.getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(10)
        listening.close()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class EchoApp:
    """Whatever the tests ask for, and what it was asked."""

    def __init__(self) -> None:
        self.calls: list[tuple[str, str]] = []
        self.store: dict[str, bytes] = {}
        self.began = asyncio.Event()
        self.uploaded: list[int] = []
        self.go = threading.Event()
        self.failures: list[str] = []
        self.lifespans: list[str] = []

    def app(self) -> Starlette:
        methods = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE"]
        routes = [
            Route("/health", self.health),
            Route("/status/{status:int}", self.status, methods=methods),
            Route("/length", self.length, methods=["POST"]),
            Route("/events", self.events),
            Route("/large", self.large),
            Route("/upload", self.upload, methods=["POST"]),
            Route("/breaks", self.breaks),
            Route("/mistake", self.mistake),
            Route("/redirect", self.redirect, methods=methods),
            Route("/digest", self.digest, methods=["POST"]),
            Route("/store/{id}", self.stored, methods=["GET", "PUT"]),
            WebSocketRoute("/ws", self.websocket),
            WebSocketRoute("/health", self.websocket),
            Route("/{rest:path}", self.echo, methods=methods),
        ]

        @contextlib.asynccontextmanager
        async def lifespan(_: Starlette) -> AsyncIterator[None]:
            self.lifespans.append("up")
            yield
            self.lifespans.append("down")

        return Starlette(routes=routes, lifespan=lifespan)

    async def echo(self, request: Request) -> Response:
        self.calls.append((request.method, str(request.url)))
        body = await request.body()
        target = request.scope["raw_path"].decode() + ("?" + request.url.query if request.url.query else "")
        response = Response(f"{request.method} {target} ".encode() + body)
        response.headers["x-signer"] = sender(request) or "nobody"
        response.headers["x-inner"] = request.headers.get("x-inner", "")
        response.headers["x-authorization"] = request.headers.get("authorization", "")
        response.headers["x-host"] = request.headers.get("host", "")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response

    async def health(self, _: Request) -> Response:
        return PlainTextResponse("well")

    async def status(self, request: Request) -> Response:
        return Response(status_code=request.path_params["status"])

    async def length(self, request: Request) -> Response:
        return PlainTextResponse(str(len(await request.body())))

    async def events(self, _: Request) -> Response:
        async def events() -> AsyncIterator[bytes]:
            yield b"data: 1\n\n"
            while not self.go.is_set():
                await asyncio.sleep(0.01)
            yield b"data: 2\n\n"

        return StreamingResponse(events(), media_type="text/event-stream")

    async def large(self, _: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            for _ in range(64):
                yield bytes(65_536)

        return StreamingResponse(pieces())

    async def upload(self, request: Request) -> Response:
        length = 0
        try:
            async for piece in request.stream():
                length += len(piece)
                self.uploaded.append(length)
        except Exception as error:
            self.failures.append(getattr(error, "code", type(error).__name__))
            raise
        return PlainTextResponse(str(length))

    async def breaks(self, _: Request) -> Response:
        async def pieces() -> AsyncIterator[bytes]:
            yield b"half"
            raise RuntimeError("on purpose")

        return StreamingResponse(pieces())

    async def mistake(self, _: Request) -> Response:
        raise RuntimeError("on purpose")

    async def redirect(self, request: Request) -> Response:
        query = request.url.query
        status = int(query[:3]) if query[:3].isdigit() else 307
        return RedirectResponse(query.removeprefix(str(status)) or "/echo/there", status)

    async def digest(self, request: Request) -> Response:
        if "authorization" not in request.headers:
            return Response(status_code=401, headers={"www-authenticate": 'Digest realm="a", nonce="b", qop="auth"'})
        return Response(await request.body())

    async def stored(self, request: Request) -> Response:
        id = request.path_params["id"]
        if request.method == "PUT":
            self.store[id] = await request.body()
            return PlainTextResponse("taken", status_code=201)
        return Response(self.store[id], media_type="application/vnd.sealwire") if id in self.store else Response(status_code=404)

    async def websocket(self, websocket: WebSocket) -> None:
        await websocket.accept()
        await websocket.send_text("hello")
        await websocket.close()


class Service:
    """A service that takes exchanges, signed by the device, and whatever else the options say."""

    def __init__(self, device: Identity, **options: Any) -> None:
        self.identity = Identity.generate(kem=Kem.X25519)
        self.events: list[CallEvent] = []
        self.port = free_port()
        self.echo = EchoApp()
        self.device = device
        #: What everybody outside takes for the service.
        self.origin = options.pop("origin", f"http://127.0.0.1:{self.port}")
        options = {
            "keys": ServiceKeys.generate(kem=Kem.X25519),
            "identity": self.identity,
            "verify": Verify([device.signer]),
            "plain": ["/health"],
            "signed_only": ["/store/{id}"],
            "tunnel": TUNNEL,
            "observer": self.events.append,
            **options,
        }
        self.app = SealwireMiddleware(self.echo.app(), origin=self.origin, **options)

    @contextlib.contextmanager
    def running(self) -> Iterator[Service]:
        with serving(self.app, self.port):
            yield self

    @property
    def pin(self) -> str:
        return self.identity.recipient.pin

    def policy(self, **rule: Any) -> Policy:
        rule = rule or {"exchange": True, "sign": True}
        return Policy([Rule(self.origin, "/{rest..}", **rule)], {self.origin: self.pin})


Tamper = Callable[[httpx.Request, Callable[[], httpx.Response]], httpx.Response]


class Between(httpx.BaseTransport):
    """Somebody between a client and the network, who does with what passes whatever a test says. The fetching of keys is left alone."""

    def __init__(self, tamper: Tamper | None = None) -> None:
        self.inner = httpx.HTTPTransport()
        self.tamper = tamper
        self.passed: list[httpx.Request] = []

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        if request.url.path == "/.well-known/sealwire-keys":
            return self.inner.handle_request(request)
        request.read()
        self.passed.append(request)

        def forward() -> httpx.Response:
            response = self.inner.handle_request(request)
            body = b"".join(response.stream)  # type: ignore[arg-type]
            response.close()
            fields = [(name, value) for name, value in response.headers.raw if name.lower() != b"transfer-encoding"]
            return httpx.Response(response.status_code, headers=fields, stream=httpx.ByteStream(body))

        return forward() if self.tamper is None else self.tamper(request, forward)

    def close(self) -> None:
        self.inner.close()
