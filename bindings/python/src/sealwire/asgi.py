"""An ASGI middleware for services and gateways (FastAPI, Starlette, anything): opens exchanges, verifies signatures, lets nothing else in."""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable, Coroutine, Mapping, MutableMapping, Sequence
from typing import Any, Protocol, Union, cast
from urllib.parse import quote, unquote_to_bytes

import anyio
import anyio.from_thread
import anyio.lowlevel
import anyio.to_thread

from ._bytes import wanted
from ._caller import RawObserver
from ._clock import now
from ._error import Expired, SealwireError, call, calling_back, made, misuse
from ._ffi import sealwire as ffi
from .keys import Identity, Pin, Signer
from .policy import CallEvent
from .request import raw_field
from .seal import signer_of
from .service import LookUp, MemoryReplayCache, Mounted, ReplayCache, ServiceKeys, Verify

__all__ = ["MemoryReplayCache", "Mounted", "ReplayCache", "SealwireMiddleware", "ServiceKeys", "Verify", "sender"]

Scope = MutableMapping[str, Any]
Message = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]
Headers = list[tuple[bytes, bytes]]

_SENDER = "sealwire.sender"
_MAX_RESPONSE = 64 * 1024 * 1024
_PIECE = 64 * 1024
_LOOK_UPS = 40


class _Connection(Protocol):
    @property
    def scope(self) -> Mapping[str, Any]: ...


def sender(request: _Connection | Mapping[str, Any]) -> Signer | None:
    """Who signed a request: of a Starlette or FastAPI request, or of an ASGI scope. `None` if nobody did, or nothing was demanded."""
    scope = request if isinstance(request, Mapping) else request.scope
    signer = scope.get(_SENDER)
    return signer if isinstance(signer, Signer) else None


class SealwireMiddleware:
    """Opens exchanges and verifies signatures in front of an app, and refuses what is neither.

        app.add_middleware(SealwireMiddleware, origin="https://api.example.com", keys=keys, identity=identity, verify=Verify([alice.signer]))

    Put it around the whole app, and last, so that it is the outermost: a tunnelled request comes to another path than it is for, and what stands
    further out sees nothing but sealed bytes. With ``keys`` and ``identity`` it is a service, which publishes its keys at
    ``/.well-known/sealwire-keys``, signed by its identity; clients carry the pin of that. Without them it is a **gateway**, which only verifies,
    with public keys alone. Everything is demanded everywhere, unless a path is excepted by name. Refusals are an ``application/problem+json`` that does not
    say why; ``observer`` hears of it. `sender` says who signed a request. Lifespans pass; websockets cannot be sealed, and are refused
    outside of ``plain`` paths.

    - ``origin``: where everybody outside finds the service. A received ``Host`` decides nothing.
    - ``verify``: demands a signature on every request.
    - ``plain``: **lets requests for these paths in as they are**: ``/health``. Patterns are like ``/notes/{id}``, or ``/files/{rest..}``.
    - ``signed_only``: lets requests for these paths in without an exchange, but signed: where the service only stores envelopes.
    - ``unsigned``: lets exchanges for these paths in from anybody, unsigned.
    - ``stream``: hands requests for these paths on while their body arrives. **The app then acts on a body that may turn out to be cut off**:
      ``receive()`` then raises `Truncated`.
    - ``mounted``, ``tunnel`` (a path), ``post_carrier``, ``coarse_status``, ``window`` (seconds; 300): how exchanges come.
    - ``next_pins``: says that these may sign for the keys, too, from now on.
    - ``enforce_idempotency_keys``: refuses a second request with the same ``Idempotency-Key``.
    - ``allow_origins``: the web origins whose pages may call from browsers. ``pass_outer``: outer fields for the app, such as ``x-request-id``.
    - ``max_body`` (8 MiB), ``body_timeout`` (30 s), ``memory`` (256 MiB for all bodies together, and half of it for those of requests that nobody
      signed; above that 503).
    - ``replay``: a `ReplayCache` of your own, needed as soon as there are two processes; ``replay_unsigned`` another one for what nobody signed:
      a cache that strangers can fill refuses everybody.

    Answers in the whole form are collected, up to 64 MiB, above which the app's ``send`` raises `TooLarge`; those to requests in the chunked form
    are sealed while they are made. Answers that cannot be sealed, and what the app raises, become a sealed 500. Raises `Misuse` and `Malformed` for options that make no sense.
    Source: SPEC §18 to §21.
    """

    def __init__(
        self,
        app: App,
        *,
        origin: str,
        keys: ServiceKeys | None = None,
        identity: Identity | None = None,
        verify: Verify | None = None,
        plain: Sequence[str] = (),
        signed_only: Sequence[str] = (),
        unsigned: Sequence[str] = (),
        stream: Sequence[str] = (),
        mounted: Mounted | None = None,
        tunnel: str | None = None,
        post_carrier: bool = False,
        coarse_status: bool = False,
        window: int | None = None,
        next_pins: Sequence[Pin | str] = (),
        enforce_idempotency_keys: bool = False,
        allow_origins: Sequence[str] = (),
        pass_outer: Sequence[str] = (),
        max_body: int | None = None,
        body_timeout: float = 30.0,
        memory: int = 256 * 1024 * 1024,
        replay: ReplayCache | None = None,
        replay_unsigned: ReplayCache | None = None,
        observer: Callable[[CallEvent], object] | None = None,
    ) -> None:
        self._app = app
        self._body_timeout = body_timeout
        # How many bytes bodies may hold now, all of them and those of strangers.
        self._memory, self._memory_of_strangers = memory, memory // 2
        self._replay: ReplayCache = MemoryReplayCache() if replay is None else replay
        if replay_unsigned is None:
            # A cache that is empty may be false.
            replay_unsigned = MemoryReplayCache() if replay is None else replay
        self._replay_unsigned: ReplayCache = replay_unsigned
        if not all(isinstance(cache, ReplayCache) for cache in (self._replay, self._replay_unsigned)):
            raise TypeError("a replay cache has insert")
        self._asks = verify is not None and callable(wanted(Verify, verify).signers) and _is_async(verify.signers)
        self._limiter = anyio.lowlevel.RunVar[anyio.CapacityLimiter]("sealwire look-ups")

        if not body_timeout > 0:
            raise misuse("a body has time to arrive")
        if (keys is None) != (identity is None):
            raise misuse("a service has keys and an identity, a gateway neither")
        if keys is None and verify is None:
            raise misuse("a gateway verifies")

        def options(exchanges: ffi.Exchanges | None) -> ffi.GateOptions:
            return ffi.GateOptions(
                origin=origin,
                exchanges=exchanges,
                verify=None if verify is None else _raw_verify(verify, self._asks),
                plain=_texts(plain),
                signed_only=_texts(signed_only),
                unsigned=_texts(unsigned),
                stream=_texts(stream),
                enforce_idempotency_keys=enforce_idempotency_keys,
                allow_origins=_texts(allow_origins),
                pass_outer=_texts(pass_outer),
                max_body=max_body,
                observer=None if observer is None else RawObserver(observer),
            )

        self._gate = call(ffi.Gate, options(None))
        if keys is not None and identity is not None:
            # Only now, so that what is wrong with the options is said while the keys are still free.
            exchanges = ffi.Exchanges(
                keys=wanted(ServiceKeys, keys)._raw,
                identity=wanted(Identity, identity)._raw,
                mounted=None if mounted is None else ffi.Mounted(public=wanted(Mounted, mounted).public, local=mounted.local),
                tunnel=tunnel,
                post_carrier=post_carrier,
                coarse_status=coarse_status,
                window=window,
                next_pins=[str(pin) for pin in next_pins],
            )
            self._gate = call(ffi.Gate, options(exchanges))

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """What ASGI servers call."""
        if scope["type"] == "lifespan":
            await self._app(scope, receive, send)
        elif scope["type"] == "http":
            await _Request(self, scope, receive, send).answer()
        elif scope["type"] == "websocket" and isinstance(await self._enter("GET", scope, False), ffi.GateStep.PLAIN):
            await self._app(scope, receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": 1008})
        else:
            raise misuse("nothing but HTTP can be sealed")

    async def _enter(self, method: str, scope: Scope, has_body: bool) -> ffi.GateStep:
        return (await self._entered(method, scope, has_body)).step

    async def _entered(self, method: str, scope: Scope, has_body: bool) -> ffi.Entered:
        fields = [raw_field(name, value) for name, value in scope["headers"]]
        arguments = (method, _target(scope), fields, has_body, now())
        if self._asks:
            # The look-up asks the event loop, which therefore must not wait. The threads are not those that the app has, too: a look-up that needs one
            # would wait for those that wait for it.
            if (limiter := self._limiter.get(None)) is None:
                self._limiter.set(limiter := anyio.CapacityLimiter(_LOOK_UPS))
            return await anyio.to_thread.run_sync(lambda: call(self._gate.enter, *arguments), limiter=limiter)
        return call(self._gate.enter, *arguments)


class _Request:
    """One request on its way to the app and back."""

    def __init__(self, middleware: SealwireMiddleware, scope: Scope, receive: Receive, send: Send) -> None:
        self._middleware = middleware
        self._scope = scope
        self._coming = receive
        self._seen: Message | None = None
        self._send = send
        # For all of a body, from its first byte that is waited for.
        self._deadline = anyio.current_time() + middleware._body_timeout
        self._held, self._held_as_a_stranger = 0, 0
        self._is_ended = False
        origin = next((value for name, value in scope["headers"] if name == b"origin"), None)
        self._page = [_line(field) for field in call(middleware._gate.page_fields, origin)]

    async def answer(self) -> None:
        middleware = self._middleware
        entered = await middleware._entered(self._scope["method"], self._scope, await self._has_body())
        passage, step = entered.passage, entered.step
        try:
            if isinstance(step, ffi.GateStep.READ):
                step = await self._read(passage)
            while isinstance(step, ffi.GateStep.REMEMBER):
                step = await self._remember(passage, step)
            if isinstance(step, ffi.GateStep.ANSWER):
                await self._respond(step.answer.status, _lines(step.answer.fields), step.answer.body)
            elif isinstance(step, ffi.GateStep.PLAIN):
                await self._ask(passage, self._scope, self._receive)
            else:
                assert isinstance(step, ffi.GateStep.ADMITTED)
                await self._admit(passage, step.request)
        finally:
            middleware._memory += self._held
            middleware._memory_of_strangers += self._held_as_a_stranger

    async def _has_body(self) -> bool:
        # A length of zero the gate knows.
        if any(name in (b"transfer-encoding", b"content-length") for name, _ in self._scope["headers"]):
            return True
        if self._scope.get("http_version", "1.1").startswith("1"):
            return False
        # HTTP/2 and later frame bodies themselves, and the head need not say whether there is one: what comes first does.
        with anyio.CancelScope(deadline=self._deadline):
            message = await self._coming()
            while _is_nothing_yet(message):
                message = await self._coming()
            self._seen = message
            return message["type"] != "http.request" or bool(message.get("body", b""))
        return True

    async def _receive(self) -> Message:
        """What comes, and first what was seen of it."""
        if (seen := self._seen) is not None:
            self._seen = None
            return seen
        return await self._coming()

    async def _read(self, passage: ffi.Passage) -> ffi.GateStep:
        """Reads the body: all of it, or up to where the app may read on."""
        step: ffi.GateStep | None = None
        is_signed = call(passage.is_signed)
        with anyio.CancelScope(deadline=self._deadline):
            while step is None or isinstance(step, ffi.GateStep.READ):
                message = await self._receive()
                if message["type"] != "http.request":
                    return call(passage.give_up, ffi.GiveUp.BROKEN)
                piece = message.get("body", b"")
                if not self._hold(len(piece), is_signed):
                    return call(passage.give_up, ffi.GiveUp.MEMORY)
                self._is_ended = not message.get("more_body", False)
                if piece:
                    step = call(passage.push, bytes(piece), now())
                if self._is_ended and (step is None or isinstance(step, ffi.GateStep.READ)):
                    return call(passage.finish, now())
            return step
        return call(passage.give_up, ffi.GiveUp.SLOW)

    def _hold(self, length: int, is_signed: bool) -> bool:
        """Whether there is memory for so many bytes more."""
        middleware = self._middleware
        if length > middleware._memory or (not is_signed and length > middleware._memory_of_strangers):
            return False
        middleware._memory -= length
        self._held += length
        if not is_signed:
            middleware._memory_of_strangers -= length
            self._held_as_a_stranger += length
        return True

    async def _remember(self, passage: ffi.Passage, step: Any) -> ffi.GateStep:
        cache = self._middleware._replay if step.signed else self._middleware._replay_unsigned
        fresh: bool | None = None
        expired = False
        try:
            inserted = cache.insert(step.id, step.made, step.until, now())
            fresh = (await inserted if isinstance(inserted, Awaitable) else inserted) is True
        except Expired:
            expired = True
        except Exception:  # noqa: BLE001 - whatever it is, nobody knows whether it came before
            pass
        return call(passage.inserted, fresh, expired, now())

    async def _admit(self, passage: ffi.Passage, request: ffi.Request) -> None:
        scope = dict(self._scope)
        scope["headers"] = _lines(request.fields)
        scope[_SENDER] = signer_of(request.signer)
        if request.is_sealed:
            raw_path, _, query = request.path_and_query.encode("ascii").partition(b"?")
            path = unquote_to_bytes(raw_path).decode("utf-8", "replace")
            scheme = request.url.partition(":")[0]
            scope |= {"method": request.method, "path": path, "raw_path": raw_path, "query_string": query, "scheme": scheme}
            # None of the server's shortcuts past the seal.
            scope["extensions"] = {}
        receive = _Arriving(passage, request, self._receive, self._is_ended, self._middleware._body_timeout).receive
        if not request.is_sealed:
            await self._ask(passage, scope, receive)
            return
        kind = _Streaming if request.is_streamed else _Whole
        answering = kind(passage, self._respond, request.method == "HEAD")
        try:
            await self._middleware._app(scope, receive, answering.send)
            await answering.end()
        except BaseException:
            # Said sealed, too; who serves is told.
            await answering.failed()
            raise
        finally:
            call(passage.served, answering.status)

    async def _ask(self, passage: ffi.Passage, scope: Scope, receive: Receive) -> None:
        status = 500

        async def send(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = _status(message) or 500
                message = {**message, "headers": self._with_page(_given(message))}
            await self._send(message)

        try:
            await self._middleware._app(scope, receive, send)
        finally:
            call(passage.served, status)

    async def _respond(self, status: int, headers: Headers, body: bytes, more_body: bool = False) -> None:
        await self._send({"type": "http.response.start", "status": status, "headers": self._with_page(headers)})
        await self._continue(body, more_body)

    async def _continue(self, body: bytes, more_body: bool) -> None:
        await self._send({"type": "http.response.body", "body": body, "more_body": more_body})

    def _with_page(self, headers: Headers) -> Headers:
        """A ``vary`` more, the others in the place of the app's own."""
        replaced = {name for name, _ in self._page if name != b"vary"}
        return [(name, value) for name, value in headers if name.lower() not in replaced] + self._page


class _Arriving:
    """What the app receives."""

    def __init__(self, passage: ffi.Passage, request: ffi.Request, receive: Receive, is_ended: bool, timeout: float) -> None:
        self._passage = passage
        self._ready: bytes | None = request.content
        self._more = request.begins_early
        self._receive = receive
        self._is_ended = is_ended
        self._timeout = timeout

    async def receive(self) -> Message:
        while self._ready is None and self._more:
            await self._open()
        if self._ready is not None:
            body, self._ready = self._ready, None
            return {"type": "http.request", "body": body, "more_body": self._more}
        while (message := await self._receive())["type"] == "http.request":
            pass
        return message

    async def _open(self) -> None:
        try:
            opened = await self._opened()
        except SealwireError:
            # Nothing more comes of it. Whoever asks again hears what the server says: that somebody has gone, say.
            self._more = False
            raise
        if opened or not self._more:
            self._ready = opened

    async def _opened(self) -> bytes:
        opened = b""
        # The server may have said the end together with what admitted the request: nothing comes any more then.
        if not self._is_ended:
            with anyio.fail_after(self._timeout):
                message = await self._receive()
            # Somebody who goes away is an end, too: what is missing then is `Truncated`.
            self._is_ended = not message.get("more_body", False)
            if piece := message.get("body", b""):
                opened = call(self._passage.rest, bytes(piece), now())
        if self._is_ended:
            opened += call(self._passage.rest_end, now())
            self._more = False
        return opened


class _Whole:
    """Seals an answer as a whole."""

    def __init__(self, passage: ffi.Passage, respond: Callable[..., Awaitable[None]], is_head: bool) -> None:
        self._passage = passage
        self._respond = respond
        self._is_head = is_head
        self._headers: Headers = []
        self._body = bytearray()
        self._is_started = False
        self._is_answered = False
        self.status = 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self._is_started = True
            if (status := _status(message)) is None:
                await self.failed()
                return
            self.status = status
            self._headers = _given(message)
        elif message["type"] == "http.response.body" and self._is_started and not self._is_answered:
            if not self._is_head:
                self._body += message.get("body", b"")
            if len(self._body) > _MAX_RESPONSE:
                await self.failed()
                raise made("TooLarge", "an answer above 64 MiB, to a request that did not ask for it in pieces")
            elif not message.get("more_body", False):
                await self._seal(self.status, self._headers, bytes(self._body))

    async def end(self) -> None:
        await self.failed()

    async def failed(self) -> None:
        if not self._is_answered:
            self.status = 500
            await self._seal(500, [], b"")

    async def _seal(self, status: int, headers: Headers, body: bytes) -> None:
        sealed = call(self._passage.seal, status, [raw_field(name.lower(), value) for name, value in headers], body)
        self._is_answered = True
        await self._respond(sealed.status, _lines(sealed.fields), sealed.body)


class _Streaming:
    """Seals an answer while it is made."""

    def __init__(self, passage: ffi.Passage, respond: Callable[..., Awaitable[None]], is_head: bool) -> None:
        self._passage = passage
        self._respond = respond
        self._continue = cast("_Request", respond.__self__)._continue  # type: ignore[attr-defined]
        self._is_head = is_head
        self._sealing: ffi.BodySealing | None = None
        self._is_started = False
        self.status = 500

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            if (status := _status(message)) is None:
                await self.failed()
                return
            self.status = status
            await self._start(status, _given(message))
        elif message["type"] == "http.response.body" and self._sealing is not None:
            sealed = b""
            if (body := message.get("body", b"")) and not self._is_head:
                sealed = call(self._sealing.push, bytes(body))
            more = message.get("more_body", False)
            if not more:
                sealed += call(self._sealing.finish)
                self._sealing = None
            if sealed or not more:
                await self._continue(sealed, more)

    async def end(self) -> None:
        """An answer without an end has none here either: the server breaks it off."""
        if not self._is_started:
            await self.failed()

    async def failed(self) -> None:
        if self._is_started:
            return
        self.status = 500
        await self._start(500, [])
        if self._sealing is not None:
            await self._continue(call(self._sealing.finish), False)
            self._sealing = None

    async def _start(self, status: int, headers: Headers) -> None:
        streamed = call(self._passage.stream, status, [raw_field(name.lower(), value) for name, value in headers])
        self._is_started = True
        self._sealing = streamed.body
        answer = streamed.answer
        await self._respond(answer.status, _lines(answer.fields), answer.body, streamed.body is not None)


def _is_nothing_yet(message: Message) -> bool:
    return message["type"] == "http.request" and not message.get("body", b"") and bool(message.get("more_body", False))


def _target(scope: Scope) -> str:
    """Path and query as they came."""
    raw: bytes = scope.get("raw_path") or quote(scope["path"], safe="/!$&'()*+,;=:@~", errors="replace").encode()
    query: bytes = scope.get("query_string", b"")
    target = raw.partition(b"?")[0] + (b"?" + query if query else b"")
    return target.decode("latin-1")


def _status(message: Message) -> int | None:
    """The app's status; `None` for what is none. Which of those that fit can be sealed the library knows."""
    status = message["status"]
    return int(status) if isinstance(status, int) and 0 <= status < 1 << 16 else None


def _given(message: Message) -> Headers:
    return [(bytes(name), bytes(value)) for name, value in message.get("headers", ())]


def _lines(fields: Sequence[ffi.Field]) -> Headers:
    return [_line(field) for field in fields]


def _line(field: ffi.Field) -> tuple[bytes, bytes]:
    return field.name.encode("latin-1"), field.value


def _texts(texts: Sequence[str]) -> list[str]:
    if isinstance(texts, str):
        raise misuse("paths and names come in lists")
    return list(texts)


def _is_async(function: Any) -> bool:
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(getattr(function, "__call__", None))  # noqa: B004


def _raw_verify(verify: Verify, asks: bool) -> ffi.Verify:
    signers: ffi.Signers
    if callable(verify.signers):
        signers = ffi.Signers.LOOKED_UP(_LookedUp(verify.signers, asks))  # type: ignore[assignment]
    elif isinstance(verify.signers, str):
        raise misuse("signers are a list")
    else:
        signers = ffi.Signers.KNOWN([str(signer) for signer in verify.signers])  # type: ignore[assignment]
    return ffi.Verify(
        signers=signers,
        require=_texts(verify.require),
        max_age=verify.max_age,
        max_validity=verify.max_validity,
        clock_skew=verify.clock_skew,
        allow_missing_nonce=verify.allow_missing_nonce,
    )


class _LookedUp(ffi.OriginKeys):
    """Whose signatures count, to the library."""

    def __init__(self, look_up: LookUp, asks: bool) -> None:
        self._look_up = look_up
        self._asks = asks

    def signer(self, key_id: str) -> str | None:
        def look_up() -> str | None:
            if self._asks:
                asked = cast("Callable[[str], Coroutine[Any, Any, Union[Signer, str, None]]]", self._look_up)
                signer: Signer | str | None = anyio.from_thread.run(asked, key_id)
            else:
                signer = cast("Union[Signer, str, None]", self._look_up(key_id))
            return None if signer is None else str(signer)

        return calling_back(look_up)
