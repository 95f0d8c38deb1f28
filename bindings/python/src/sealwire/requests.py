"""A requests adapter that seals: the same session and calls, and a policy that says what is done with which URL."""

from __future__ import annotations

import http.client
import io
from collections.abc import Callable, Generator, Iterable, Iterator, Mapping
from types import SimpleNamespace
from typing import TYPE_CHECKING, Any
from urllib.parse import urljoin, urlsplit

import requests
import requests.adapters
import urllib3
import urllib3.exceptions

from ._bytes import encoded, wanted
from ._caller import DEFAULT_MAX_BODY, Answer, Caller, Fields, Head, Passing, Send, Steps, Streamed, Upload, collected, network
from ._error import NetworkFailed, SealwireError, misuse
from .policy import CallEvent, CallOptions, Policy, SealedInfo

if TYPE_CHECKING:
    from .keys import Identity, Unlock
    from .stores import SecretStore

__all__ = ["SealedAdapter", "SealedConnectionError", "SealedTimeout", "sealed_info"]

_PIECE = 64 * 1024
_OPTIONS = "sealwire"


class SealedConnectionError(NetworkFailed, requests.exceptions.ConnectionError):
    """The network failed: a `NetworkFailed` that is requests' own kind of error, too. ``__cause__`` is the inner adapter's."""


class SealedTimeout(NetworkFailed, requests.exceptions.Timeout):
    """The same, for a timeout."""


def sealed_info(response: requests.Response) -> SealedInfo:
    """What is known of a response beside what HTTP can say; empty for any other response."""
    info = getattr(response, "sealwire", None)
    return info if isinstance(info, SealedInfo) else SealedInfo()


class SealedAdapter(requests.adapters.BaseAdapter):
    """A requests adapter that sends requests as a `Policy` says: sealed to a service, sealed to people, signed, or not at all.

    Mount it for ``https://`` and ``http://``: **what is not mounted goes in the clear**, and so would what other hosts redirect to. A URL that no
    rule covers is `Misuse`, and so is a redirect that would take a body (307, 308) to an origin that no rule names. ``adapter`` is what sends,
    ``requests.adapters.HTTPAdapter()`` unless told otherwise; the other options, and the errors, are those of `sealwire.httpx.SealedTransport`.
    A body that requests would send chunked (an iterator as ``data``) is sealed while it is made; under a ``streamed`` rule ``stream=True`` gives
    responses while they arrive. Other redirects inside of an exchange are the session's to follow.

    What one request says of itself is given with `SealedAdapter.options`.

        session = requests.Session()
        adapter = SealedAdapter(policy, identity=alice)
        session.mount("https://", adapter)
        session.mount("http://", adapter)
        session.get("https://api.example.com/notes/17")

    Source: SPEC §18 to §21.
    """

    def __init__(
        self,
        policy: Policy,
        *,
        adapter: requests.adapters.HTTPAdapter | None = None,
        identity: Identity | None = None,
        keys: Unlock | None = None,
        last_seen: SecretStore | None = None,
        observer: Callable[[CallEvent], object] | None = None,
        max_body: int = DEFAULT_MAX_BODY,
    ) -> None:
        super().__init__()
        self._caller = Caller(policy, identity=identity, keys=keys, last_seen=last_seen, observer=observer, max_body=max_body)
        self._adapter = requests.adapters.HTTPAdapter() if adapter is None else wanted(requests.adapters.HTTPAdapter, adapter)
        self._origins = {_origin(rule.origin) for rule in policy.rules}

    @staticmethod
    def options(options: CallOptions) -> Callable[[requests.PreparedRequest], requests.PreparedRequest]:
        """What one request says of itself, as its ``auth``: ``session.put(url, data, auth=SealedAdapter.options(CallOptions(version=3)))``. They
        go with the request wherever it is redirected to."""

        def say(request: requests.PreparedRequest) -> requests.PreparedRequest:
            # Hooks are what requests copies for a redirect.
            request.hooks[_OPTIONS] = options
            return request

        return say

    def send(
        self,
        request: requests.PreparedRequest,
        stream: bool = False,
        timeout: None | float | tuple[float, float] | tuple[float, None] = None,
        verify: bool | str = True,
        cert: None | bytes | str | tuple[bytes | str, bytes | str] = None,
        proxies: Mapping[str, str] | None = None,
    ) -> requests.Response:
        """What `requests.Session` calls."""
        if request.url is None or request.method is None:
            raise misuse("a request has a method and a URL")
        sending = {"timeout": timeout, "verify": verify, "cert": cert, "proxies": proxies}
        body, source = _body(request, self._caller.max_body)
        fields = [(_bytes(name), _bytes(value)) for name, value in request.headers.items()]
        url = request.url.split("#", 1)[0]
        steps = self._caller.steps(request.method, url, fields, body, request.hooks.get(_OPTIONS))
        response = _Driver(self._adapter, request, steps, source, sending).run()
        # What repeats a request by itself, such as `requests.auth.HTTPDigestAuth`, sends it here: not below, in the clear.
        response.connection = self  # type: ignore[assignment]
        if response.status_code in (307, 308) and request.body is not None and not self._names(_target(request, response)):
            response.close()
            raise misuse("a redirect that takes the body to where no rule is")
        return response

    def _names(self, url: str | None) -> bool:
        return url is None or _origin(url) in self._origins

    def forget_service_keys(self) -> None:
        """Forgets what is known of services' keys, so that they are fetched anew."""
        self._caller.forget_service_keys()

    def close(self) -> None:
        """Closes the inner adapter."""
        self._adapter.close()


def _target(request: requests.PreparedRequest, response: requests.Response) -> str | None:
    """Where a redirect goes, as requests will read it."""
    if (location := response.headers.get("location")) is None:
        return None
    target = requests.PreparedRequest()
    try:
        target.prepare_url(urljoin(request.url or "", location), None)
    except (requests.exceptions.RequestException, ValueError):
        # Nowhere: the session says so.
        return None
    return target.url


def _origin(url: str) -> tuple[str, str | None, int | None]:
    parts = urlsplit(url)
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _body(request: requests.PreparedRequest, limit: int) -> tuple[bytes | type[Streamed] | None, Iterable[bytes]]:
    """The body as a whole, or what it is made of."""
    body: Any = request.body
    if body is None:
        return None, ()
    if isinstance(body, str):
        return encoded(body), ()
    if isinstance(body, (bytes, bytearray)):
        return bytes(body), ()
    pieces = _pieces_of(body)
    # Of a file requests knows the length.
    return (Streamed, pieces) if "transfer-encoding" in request.headers else (collected(pieces, limit), ())


def _pieces_of(body: Any) -> Iterator[bytes]:
    if hasattr(body, "read"):
        while piece := body.read(_PIECE):
            yield piece
    else:
        for piece in body:
            yield encoded(piece) if isinstance(piece, str) else piece


class _Driver:
    """Sends what the steps say, and gives them what comes."""

    def __init__(
        self,
        adapter: requests.adapters.HTTPAdapter,
        request: requests.PreparedRequest,
        steps: Steps,
        source: Iterable[bytes],
        sending: dict[str, Any],
    ) -> None:
        self._adapter = adapter
        self._request = request
        self._steps = steps
        self._source = source
        self._sending = sending
        self._outer: requests.Response | None = None
        self._pieces: Iterator[bytes] = iter(())

    def run(self) -> requests.Response:
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
                reply = self._send(step) if isinstance(step, Send) else next(self._pieces, None)
        finally:
            self._steps.close()
            if not passing:
                self._close()

    def _send(self, step: Send) -> Head:
        self._close()
        outer = requests.PreparedRequest()
        content: Any = (step.body or None) if step.upload is None else self._sealing(step.upload, step.body)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in step.fields}
        # Step by step, since `prepare` would write the URL anew.
        outer.prepare_method(step.method)
        outer.url = step.url
        outer.prepare_headers(headers)
        outer.prepare_body(content, None)
        try:
            answer = self._adapter.send(outer, stream=True, **self._sending)
        except requests.exceptions.RequestException as error:
            raise _broke(error, self._request) from error
        self._outer = answer
        self._pieces = _received(answer.raw, self._request)
        return Head(answer.status_code, [(_bytes(name), _bytes(value)) for name, value in answer.raw.headers.iteritems()])

    def _sealing(self, upload: Upload, front: bytes) -> Iterator[bytes]:
        yield front
        for piece in self._source:
            if sealed := upload.push(piece):
                yield sealed
        yield upload.finish()

    def _response(self, answer: Answer) -> requests.Response:
        content: io.RawIOBase | io.BytesIO
        if answer.passing is None:
            content = io.BytesIO(answer.body)
        else:
            content = _PassingBody(answer.body, answer.passing, self._pieces, self._close)
        raw = _Raw(
            body=content,
            headers=urllib3.HTTPHeaderDict([(name.decode("latin-1"), value.decode("latin-1")) for name, value in answer.fields]),
            status=answer.status,
            reason=http.client.responses.get(answer.status, ""),
            preload_content=False,
            request_method=self._request.method,
        )
        # Where requests finds cookies.
        raw._original_response = _original(answer.fields)
        response = self._adapter.build_response(self._request, raw)
        response.sealwire = answer.info  # type: ignore[attr-defined]
        return response

    def _close(self) -> None:
        if self._outer is not None:
            outer, self._outer = self._outer, None
            outer.close()


def _received(raw: Any, request: requests.PreparedRequest) -> Iterator[bytes]:
    try:
        yield from raw.stream(_PIECE, decode_content=False)
    # The last is what urllib3 has for a chunk of a negative length.
    except (urllib3.exceptions.HTTPError, OSError, ValueError) as error:
        raise _broke(error, request) from error


class _Raw(urllib3.HTTPResponse):
    """What requests reads: errors of ours stay what they are, and what failed goes on failing."""

    _failure: SealwireError | None = None

    def read(self, *arguments: Any, **options: Any) -> bytes:
        return self._reading(super().read, *arguments, **options)

    def read1(self, *arguments: Any, **options: Any) -> bytes:
        return self._reading(super().read1, *arguments, **options)

    def stream(self, amt: int | None = _PIECE, decode_content: bool | None = None) -> Generator[bytes, None, None]:
        """What has come, up to ``amt``: urllib3's own waits until it has as much, and for ``None`` until the body is closed."""
        while piece := self.read1(amt or _PIECE, decode_content):
            yield piece

    def _reading(self, read: Callable[..., bytes], *arguments: Any, **options: Any) -> bytes:
        if self._failure is not None:
            raise self._failure
        try:
            return read(*arguments, **options)
        except SealwireError as error:
            self._failure = error
            raise
        except urllib3.exceptions.HTTPError as error:
            # Which of our errors are requests' own kind, urllib3 takes for the network's.
            if isinstance(error.__cause__, SealwireError):
                self._failure = error.__cause__
                raise error.__cause__ from error.__cause__.__cause__
            raise


class _PassingBody(io.RawIOBase):
    """A response's body, opened while it arrives."""

    def __init__(self, front: bytes, passing: Passing, pieces: Iterator[bytes], close: Callable[[], None]) -> None:
        self._ready = memoryview(front)
        self._passing = passing
        self._pieces = pieces
        self._close_outer = close
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any, /) -> int:
        while not self._ready and not self._ended:
            piece = next(self._pieces, None)
            self._ready = memoryview(self._passing.finish() if piece is None else self._passing.push(piece))
            self._ended = piece is None
        taken = self._ready[: len(buffer)]
        buffer[: len(taken)] = taken
        self._ready = self._ready[len(taken) :]
        return len(taken)

    def read1(self, size: int = -1, /) -> bytes:
        return self.read(_PIECE if size < 0 else size) or b""

    def close(self) -> None:
        if not self.closed:
            self._passing.drop()
            self._close_outer()
        super().close()


def _original(fields: Fields) -> Any:
    message = http.client.HTTPMessage()
    for name, value in fields:
        message.add_header(name.decode("latin-1"), value.decode("latin-1"))
    return SimpleNamespace(msg=message, isclosed=lambda: False, close=lambda: None)


def _bytes(text: str | bytes) -> bytes:
    return text if isinstance(text, bytes) else encoded(text, "latin-1")


def _broke(error: Exception, request: requests.PreparedRequest) -> SealedConnectionError | SealedTimeout:
    if isinstance(error, (requests.exceptions.Timeout, urllib3.exceptions.TimeoutError)):
        return SealedTimeout(network("timed out"), request=request)
    return SealedConnectionError(network("the connection broke"), request=request)
