"""What every HTTP client of this package has in common: the steps from a request to its answer, whatever sends."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Sequence
from dataclasses import dataclass
from typing import Union

from ._bytes import wanted
from ._clock import now
from ._error import NetworkFailed, SealwireError, call, made, misuse, telling
from ._ffi import sealwire as ffi
from .context import raw_context
from .keys import Identity, Recipient, Unlock, raw_keyring
from .policy import CallEvent, CallOptions, ListItem, Policy, SealedInfo, raw_policy
from .request import raw_field
from .seal import about_of, opened_of, signer_of
from .stores import SecretStore, raw_store

Fields = list[tuple[bytes, bytes]]
DEFAULT_MAX_BODY = 64 * 1024 * 1024


class Streamed:
    """A body that is sent while it is made."""


@dataclass
class Send:
    """Send this, without following redirects; the reply is the answer's `Head`. With ``upload`` the body is ``body``, then what that makes."""

    method: str
    url: str
    fields: Fields
    body: bytes
    upload: Upload | None


@dataclass
class Read:
    """Read the next piece of the answer's body; the reply is that piece, or `None` at its end."""


@dataclass
class Head:
    """What came back of a `Send`."""

    status: int
    fields: Iterable[tuple[bytes, bytes]]
    redirected: bool = False


@dataclass
class Answer:
    """What the app gets. With ``passing`` the body is ``body``, then what that makes of what still comes."""

    status: int
    fields: Fields
    body: bytes
    passing: Passing | None
    info: SealedInfo


Steps = Generator[Union[Send, Read], Union[Head, bytes, None], Answer]


class Upload:
    """Seals a body while it is sent."""

    def __init__(self, raw: ffi.Upload) -> None:
        self._raw = raw

    def push(self, piece: bytes) -> bytes:
        return call(self._raw.push, piece)

    def finish(self) -> bytes:
        """Without it, which is not sent if the app's own stream fails, the service says `Truncated`."""
        return call(self._raw.finish)


class Passing:
    """Opens an answer's body while it arrives."""

    def __init__(self, raw: ffi.Call) -> None:
        self._raw: ffi.Call | None = raw

    def push(self, piece: bytes) -> bytes:
        return call(self._running()._pass, piece)

    def finish(self) -> bytes:
        """Only after this is it certain that nothing was cut off."""
        return call(self._running().pass_end)

    def _running(self) -> ffi.Call:
        if self._raw is None:
            raise misuse("a body that was closed")
        return self._raw

    def drop(self) -> None:
        """Gives up. Without a call of the library, since this may be while garbage is collected."""
        self._raw = None


class Caller:
    """A policy, and whoever calls by it."""

    def __init__(
        self,
        policy: Policy,
        *,
        identity: Identity | None,
        keys: Unlock | None,
        last_seen: SecretStore | None,
        observer: Callable[[CallEvent], object] | None,
        max_body: int,
    ) -> None:
        options = ffi.CallerOptions(
            identity=None if identity is None else wanted(Identity, identity)._raw,
            keys=None if keys is None else raw_keyring(keys),
            last_seen=None if last_seen is None else raw_store(last_seen),
            observer=None if observer is None else RawObserver(observer),
            max_body=max_body,
        )
        self.max_body = max_body
        self._raw = call(ffi.Caller, raw_policy(policy), options)

    def forget_service_keys(self) -> None:
        call(self._raw.forget_service_keys)

    def steps(
        self, method: str, url: str, fields: Iterable[tuple[bytes, bytes]], body: bytes | type[Streamed] | None, options: CallOptions | None
    ) -> Steps:
        """The steps of one call. Close them if the network fails or the app gives up: the call then ends, since nobody has it any more."""
        options = CallOptions() if options is None else options
        if not isinstance(options, CallOptions):
            raise misuse("what a request says of itself is CallOptions")
        request = ffi.CallRequest(
            method=method,
            url=url,
            # Clients ask for compressed answers by themselves; what is sealed is not compressed on the way.
            fields=[
                raw_field(name, b"identity" if name.lower() == b"accept-encoding" else value)
                for name, value in fields
            ],
            to=None if options.to is None else [wanted(Recipient, recipient)._raw for recipient in options.to],
            version=options.version,
            context=None if options.context is None else raw_context(options.context),
        )
        raw_body: ffi.CallBody
        if body is None:
            raw_body = ffi.CallBody.NONE()  # type: ignore[assignment, no-untyped-call]
        elif isinstance(body, bytes):
            raw_body = ffi.CallBody.WHOLE(body)  # type: ignore[assignment]
        else:
            raw_body = ffi.CallBody.STREAMED()  # type: ignore[assignment, no-untyped-call]
        started = call(self._raw.call, request, raw_body, now())
        return _steps(started.call, started.step)


def _steps(running: ffi.Call, step: ffi.CallStep) -> Steps:
    while True:
        if isinstance(step, ffi.CallStep.SEND):
            upload = None if step.upload is None else Upload(step.upload)
            head = yield Send(step.method, step.url, _fields_of(step.fields), step.body, upload)
            assert isinstance(head, Head)
            fields = [raw_field(name, value) for name, value in head.fields]
            step = call(running.answered, head.status, fields, head.redirected)
        elif isinstance(step, ffi.CallStep.READ):
            # Of keys that are refused already nothing more counts, and they may have no end.
            piece = (yield Read()) if call(running.wants_more) else None
            assert piece is None or isinstance(piece, bytes)
            step = call(running.finish, now()) if piece is None else call(running.read, piece)
        else:
            return _answer(running, step)


def _answer(running: ffi.Call, step: ffi.CallStep) -> Answer:
    if isinstance(step, ffi.CallStep.PASS):
        return Answer(step.status, _fields_of(step.fields), step.front, Passing(running), SealedInfo())
    if isinstance(step, ffi.CallStep.DONE):
        about = None if step.about is None else about_of(step.about)
        return Answer(step.status, _fields_of(step.fields), step.body, None, SealedInfo(signer_of(step.signer), about))
    assert isinstance(step, ffi.CallStep.LIST)
    items = []
    while (item := call(running.item)) is not None:
        opened = None if item.opened is None else opened_of(item.opened)
        error = None if item.failure is None else made(item.failure.code, item.failure.text)
        items.append(ListItem(item.id, opened, error))
    return Answer(step.status, _fields_of(step.fields), b"", None, SealedInfo(list=items))


def _fields_of(fields: Sequence[ffi.Field]) -> Fields:
    return [(field.name.encode("latin-1"), field.value) for field in fields]


class RawObserver(ffi.Observer):
    """An observer, to the library. It hears of calls, and does not decide about them: what it raises is dropped."""

    def __init__(self, observer: Callable[[CallEvent], object]) -> None:
        if not callable(observer):
            raise TypeError("an observer is called")
        self._observer = observer

    def event(self, event: ffi.Event) -> None:
        told = CallEvent(event.operation, event.code, event.protection, event.size, event.micros / 1_000_000, event.key_id)
        telling(self._observer, told)


def collected(pieces: Iterable[bytes], limit: int) -> bytes:
    """A body as a whole."""
    whole = bytearray()
    for piece in pieces:
        whole += piece
        if len(whole) > limit:
            raise too_large()
    return bytes(whole)


def too_large() -> SealwireError:
    return made("TooLarge", "too large: a body that is sent as a whole")


def network(what: str) -> str:
    return f"network failed: {what}"


__all__ = ["Answer", "Caller", "Head", "NetworkFailed", "Passing", "Read", "Send", "Steps", "Streamed", "Upload"]
