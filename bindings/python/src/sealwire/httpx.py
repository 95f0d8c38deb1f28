"""httpx transports that seal: the same client and calls, and a policy that says what is done with which URL."""

from __future__ import annotations

from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from typing import TYPE_CHECKING, Any, NoReturn

import httpx

from ._bytes import wanted
from ._caller import DEFAULT_MAX_BODY, Answer, Caller, Head, Passing, Send, Steps, Streamed, Upload, collected, network, too_large
from ._error import NetworkFailed, misuse
from .policy import CallEvent, CallOptions, Policy, SealedInfo

if TYPE_CHECKING:
    from .keys import Identity, Unlock
    from .stores import SecretStore

__all__ = ["AsyncSealedTransport", "SealedNetworkError", "SealedTimeout", "SealedTransport", "sealed_info"]


class SealedNetworkError(NetworkFailed, httpx.TransportError):
    """The network failed: a `NetworkFailed` that is httpx' own kind of error, too. ``__cause__`` is the inner transport's."""


class SealedTimeout(NetworkFailed, httpx.TimeoutException):
    """The same, for a timeout."""


def sealed_info(response: httpx.Response) -> SealedInfo:
    """What is known of a response beside what HTTP can say; empty for any other response."""
    info = response.extensions.get("sealwire")
    return info if isinstance(info, SealedInfo) else SealedInfo()


class SealedTransport(httpx.BaseTransport):
    """An httpx transport that sends requests as a `Policy` says: sealed to a service, sealed to people, signed, or not at all.

    A URL that no rule covers is `Misuse`: nothing goes in the clear. ``transport`` is what sends, ``httpx.HTTPTransport()`` unless told
    otherwise. ``identity`` signs, and opens what is sealed to it; ``keys`` open in its place; ``last_seen`` remembers versions, serials and
    pins (without it they are forgotten with the process); ``observer`` hears of every call; ``max_body`` limits bodies that are held as a
    whole (64 MiB).

    - **Bodies** of requests are sent as a whole; what httpx would send chunked (an iterator as ``content``) is sealed while it is made, and
      needs a rule with ``exchange`` and without ``seal``. Under a ``streamed`` rule ``client.stream(…)`` gives responses while they arrive, piece by
      piece authenticated, **before** the end was seen: if that is cut off, reading raises `Truncated`.
    - **Redirects** that the service answers inside of an exchange are the client's to follow (``follow_redirects``), by the policy again;
      those outside are refused as `Unsealed`.
    - ``extensions={"sealwire": CallOptions(…)}`` says more of one request; `sealed_info` says what is known of a response.
    - **Errors**: `Unsealed` for an answer without the protection that the rule demands; `Rejected`, `NotRecipient`, `Truncated` and the others of
      `open` for one that does not open; `Expired` and `InvalidKey` if the service refuses the request's date or key; `SealedNetworkError` and
      `SealedTimeout`, which are httpx' errors, too. Only what cannot have an effect twice is repeated, once, for a new service key.

        client = httpx.Client(transport=SealedTransport(policy, identity=alice))
        client.get("https://api.example.com/notes/17")

    Source: SPEC §18 to §21.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        transport: httpx.BaseTransport | None = None,
        identity: Identity | None = None,
        keys: Unlock | None = None,
        last_seen: SecretStore | None = None,
        observer: Callable[[CallEvent], object] | None = None,
        max_body: int = DEFAULT_MAX_BODY,
    ) -> None:
        self._caller = Caller(policy, identity=identity, keys=keys, last_seen=last_seen, observer=observer, max_body=max_body)
        self._transport = httpx.HTTPTransport() if transport is None else wanted(httpx.BaseTransport, transport)

    def handle_request(self, request: httpx.Request) -> httpx.Response:
        """What `httpx.Client` calls."""
        stream = request.stream
        if not isinstance(stream, httpx.SyncByteStream):
            raise misuse("an async body in a sync client")
        if _is_streamed(request):
            steps = self._steps(request, Streamed)
        else:
            body = collected(stream, self._caller.max_body)
            steps = self._steps(request, body if body or _has_body(request) else None)
        return _Sync(self._transport, request, steps).run()

    def _steps(self, request: httpx.Request, body: bytes | type[Streamed] | None) -> Steps:
        return _steps(self._caller, request, body)

    def forget_service_keys(self) -> None:
        """Forgets what is known of services' keys, so that they are fetched anew."""
        self._caller.forget_service_keys()

    def close(self) -> None:
        """Closes the inner transport."""
        self._transport.close()

    def _is_sync(self, *_: object) -> NoReturn:
        raise misuse("an AsyncClient has an AsyncSealedTransport")

    # What `httpx.AsyncClient` calls.
    handle_async_request = __aenter__ = aclose = _is_sync


class AsyncSealedTransport(httpx.AsyncBaseTransport):
    """The same as `SealedTransport`, for `httpx.AsyncClient`. A ``last_seen`` store and a key service are called while the event loop waits."""

    def __init__(
        self,
        policy: Policy,
        *,
        transport: httpx.AsyncBaseTransport | None = None,
        identity: Identity | None = None,
        keys: Unlock | None = None,
        last_seen: SecretStore | None = None,
        observer: Callable[[CallEvent], object] | None = None,
        max_body: int = DEFAULT_MAX_BODY,
    ) -> None:
        self._caller = Caller(policy, identity=identity, keys=keys, last_seen=last_seen, observer=observer, max_body=max_body)
        self._transport = httpx.AsyncHTTPTransport() if transport is None else wanted(httpx.AsyncBaseTransport, transport)

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        """What `httpx.AsyncClient` calls."""
        stream = request.stream
        if not isinstance(stream, httpx.AsyncByteStream):
            raise misuse("a sync body in an async client")
        if _is_streamed(request):
            steps = _steps(self._caller, request, Streamed)
        else:
            whole = bytearray()
            async for piece in stream:
                whole += piece
                if len(whole) > self._caller.max_body:
                    raise too_large()
            steps = _steps(self._caller, request, bytes(whole) if whole or _has_body(request) else None)
        return await _Async(self._transport, request, steps).run()

    def forget_service_keys(self) -> None:
        """Forgets what is known of services' keys, so that they are fetched anew."""
        self._caller.forget_service_keys()

    async def aclose(self) -> None:
        """Closes the inner transport."""
        await self._transport.aclose()

    def _is_async(self, *_: object) -> NoReturn:
        raise misuse("a Client has a SealedTransport")

    # What `httpx.Client` calls.
    handle_request = __enter__ = close = _is_async


class _Sync:
    """Sends what the steps say, and gives them what comes."""

    def __init__(self, transport: httpx.BaseTransport, request: httpx.Request, steps: Steps) -> None:
        self._transport = transport
        self._request = request
        self._steps = steps
        self._outer: httpx.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def run(self) -> httpx.Response:
        reply: Head | bytes | None = None
        passing = False
        try:
            while True:
                try:
                    step = self._steps.send(reply)
                except StopIteration as stopped:
                    answer: Answer = stopped.value
                    passing = answer.passing is not None
                    return self._response(answer)
                try:
                    reply = self._send(step) if isinstance(step, Send) else next(self._pieces, None)
                except httpx.TransportError as error:
                    _broke(error, self._request)
        finally:
            self._steps.close()
            if not passing:
                self._close()

    def _send(self, step: Send) -> Head:
        self._close()
        content = step.body if step.upload is None else self._sealing(step.upload, step.body)
        outer = self._transport.handle_request(_outer(step, content, self._request))
        self._outer = outer
        assert isinstance(outer.stream, httpx.SyncByteStream)
        self._pieces = iter(outer.stream)
        return Head(outer.status_code, outer.headers.raw)

    def _sealing(self, upload: Upload, front: bytes) -> Iterator[bytes]:
        yield front
        stream = self._request.stream
        assert isinstance(stream, Iterable)
        for piece in stream:
            if sealed := upload.push(piece):
                yield sealed
        yield upload.finish()

    def _response(self, answer: Answer) -> httpx.Response:
        stream: httpx.SyncByteStream
        if answer.passing is None:
            stream = httpx.ByteStream(answer.body)
        else:
            stream = _SyncPassing(self._request, answer.body, answer.passing, self._pieces, self._close)
        return httpx.Response(answer.status, headers=answer.fields, stream=stream, extensions=_extensions(answer))

    def _close(self) -> None:
        if self._outer is not None:
            outer, self._outer = self._outer, None
            outer.close()


class _SyncPassing(httpx.SyncByteStream):
    def __init__(
        self, request: httpx.Request, front: bytes, passing: Passing, pieces: Iterator[bytes], close: Callable[[], None]
    ) -> None:
        self._request = request
        self._front = front
        self._passing = passing
        self._pieces = pieces
        self._close = close

    def __iter__(self) -> Iterator[bytes]:
        if self._front:
            yield self._front
        try:
            for piece in self._pieces:
                if content := self._passing.push(piece):
                    yield content
        except httpx.TransportError as error:
            self._passing.drop()
            _broke(error, self._request)
        if content := self._passing.finish():
            yield content

    def close(self) -> None:
        self._passing.drop()
        self._close()


class _Async:
    """Sends what the steps say, and gives them what comes."""

    def __init__(self, transport: httpx.AsyncBaseTransport, request: httpx.Request, steps: Steps) -> None:
        self._transport = transport
        self._request = request
        self._steps = steps
        self._outer: httpx.Response | None = None
        self._pieces: AsyncIterator[bytes] | None = None

    async def run(self) -> httpx.Response:
        reply: Head | bytes | None = None
        passing = False
        try:
            while True:
                try:
                    step = self._steps.send(reply)
                except StopIteration as stopped:
                    answer: Answer = stopped.value
                    passing = answer.passing is not None
                    return self._response(answer)
                try:
                    reply = await self._send(step) if isinstance(step, Send) else await self._read()
                except httpx.TransportError as error:
                    _broke(error, self._request)
        finally:
            self._steps.close()
            if not passing:
                await self._close()

    async def _send(self, step: Send) -> Head:
        await self._close()
        content = step.body if step.upload is None else self._sealing(step.upload, step.body)
        outer = await self._transport.handle_async_request(_outer(step, content, self._request))
        self._outer = outer
        assert isinstance(outer.stream, httpx.AsyncByteStream)
        self._pieces = outer.stream.__aiter__()
        return Head(outer.status_code, outer.headers.raw)

    async def _read(self) -> bytes | None:
        assert self._pieces is not None
        try:
            return await self._pieces.__anext__()
        except StopAsyncIteration:
            return None

    async def _sealing(self, upload: Upload, front: bytes) -> AsyncIterator[bytes]:
        yield front
        stream = self._request.stream
        assert isinstance(stream, AsyncIterable)
        async for piece in stream:
            if sealed := upload.push(piece):
                yield sealed
        yield upload.finish()

    def _response(self, answer: Answer) -> httpx.Response:
        stream: httpx.AsyncByteStream
        if answer.passing is None:
            stream = httpx.ByteStream(answer.body)
        else:
            assert self._pieces is not None
            stream = _AsyncPassing(self._request, answer.body, answer.passing, self._pieces, self._close)
        return httpx.Response(answer.status, headers=answer.fields, stream=stream, extensions=_extensions(answer))

    async def _close(self) -> None:
        if self._outer is not None:
            outer, self._outer = self._outer, None
            await outer.aclose()


class _AsyncPassing(httpx.AsyncByteStream):
    def __init__(
        self, request: httpx.Request, front: bytes, passing: Passing, pieces: AsyncIterator[bytes], close: Callable[[], Any]
    ) -> None:
        self._request = request
        self._front = front
        self._passing = passing
        self._pieces = pieces
        self._close = close

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._front:
            yield self._front
        try:
            async for piece in self._pieces:
                if content := self._passing.push(piece):
                    yield content
        except httpx.TransportError as error:
            self._passing.drop()
            _broke(error, self._request)
        if content := self._passing.finish():
            yield content

    async def aclose(self) -> None:
        self._passing.drop()
        await self._close()


def _steps(caller: Caller, request: httpx.Request, body: bytes | type[Streamed] | None) -> Steps:
    options = request.extensions.get("sealwire")
    if options is not None and not isinstance(options, CallOptions):
        raise misuse("what a request says of itself is CallOptions")
    return caller.steps(request.method, _url(request.url), request.headers.raw, body, options)


def _url(url: httpx.URL) -> str:
    return f"{url.scheme}://{url.netloc.decode('ascii')}{url.raw_path.decode('ascii')}"


def _is_streamed(request: httpx.Request) -> bool:
    """What httpx would send chunked. A form with files has a length, and is sent as a whole."""
    return "transfer-encoding" in request.headers


def _has_body(request: httpx.Request) -> bool:
    """An empty body is a body, too, if it was given: httpx says then, or for methods that want one, how long it is."""
    return "content-length" in request.headers


def _outer(step: Send, content: Any, request: httpx.Request) -> httpx.Request:
    extensions = {name: value for name, value in request.extensions.items() if name != "sealwire"}
    return httpx.Request(step.method, step.url, headers=step.fields, content=content or None, extensions=extensions)


def _extensions(answer: Answer) -> dict[str, Any]:
    return {"sealwire": answer.info}


def _broke(error: httpx.TransportError, request: httpx.Request) -> NoReturn:
    if isinstance(error, httpx.TimeoutException):
        raise SealedTimeout(network("timed out"), request=request) from error
    raise SealedNetworkError(network("the connection broke"), request=request) from error
