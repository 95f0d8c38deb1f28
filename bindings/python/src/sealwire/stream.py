"""Payloads that do not fit in memory, and parts of them."""

from __future__ import annotations

import errno
import io
import os
import threading
from collections.abc import Callable, Iterable, Iterator
from typing import BinaryIO, Protocol

from ._bytes import BytesLike, as_bytes
from ._error import SealwireError, Truncated, call, misuse
from ._ffi import sealwire as ffi
from ._held import Held
from .context import SealContext
from .keys import Identity, Signer, Unlock
from .seal import About, Aead, Expect, Metadata, Readers, about_of, raw_opener, raw_sealer, signer_of

__all__ = ["OpenReader", "OpenStream", "SealStream", "SealWriter", "SeekReader", "open_chunks", "seal_chunks"]

_PIECE = 256 * 1024
#: Whether `io` tells a file that what wraps it was forgotten, before it closes it. CPython does, and `close` cannot know otherwise.
_TELLS = hasattr(io.FileIO, "_dealloc_warn")
_FRONT = 4096


class SealStream(Held[ffi.SealStream]):
    """Seals a payload piece by piece: what `SealWriter` does to a file, for whatever drives it, such as async code.

    With ``length``, which then has to be right (else `Misuse`), the payload is padded; without it the envelope shows its length. The other
    options are those of `seal`. After the end, and after an error, everything is `Misuse`, as it is in a child process for what began before
    ``fork()``: both would seal with the same key and the same nonces. Source: SPEC §7.
    """

    __slots__ = ("_process",)

    def __init__(
        self,
        to: Readers,
        context: SealContext,
        *,
        length: int | None = None,
        sign: Identity | None = None,
        metadata: Metadata | None = None,
        created: int | None = None,
        content_type: str | None = None,
        filename: str | None = None,
        aead: Aead | None = None,
        part: str = "",
        allow_classical: bool = False,
    ) -> None:
        sealer = raw_sealer(
            to, context, sign=sign, metadata=metadata, created=created, content_type=content_type, filename=filename, aead=aead,
            padded=True, part=part, allow_classical=allow_classical,
        )  # fmt: skip
        super().__init__(call(ffi.SealStream, sealer, length))
        self._process = os.getpid()

    @property
    def sealed_length(self) -> int | None:
        """The envelope's length, if the payload's was given."""
        return call(self._raw.sealed_len)

    def push(self, plaintext: BytesLike) -> bytes:
        """Seals the next piece: what of the envelope is ready, perhaps nothing."""
        return call(self._raw.push, as_bytes(plaintext))

    def finish(self) -> bytes:
        """The rest of the envelope. Without it a reader says `Truncated`."""
        return call(self._raw.finish)

    @property
    def _raw(self) -> ffi.SealStream:
        if os.getpid() != self._process:
            raise misuse("it began before a fork")
        return super()._raw


class OpenStream(Held[ffi.OpenStream]):
    """Opens an envelope piece by piece: what `OpenReader` does to a file, for whatever drives it, such as async code.

    Every piece that comes out is authenticated, but **comes before the end was seen**: only `OpenStream.finish` says that nothing is missing,
    and who signed. After the end, and after an error, everything is `Misuse`. Source: SPEC §7, §11.
    """

    __slots__ = ("_signer",)

    def __init__(self, keys: Unlock, context: SealContext, *, expect: Expect = None, part: str = "") -> None:
        super().__init__(call(ffi.OpenStream, raw_opener(keys, context, expect, part)))
        self._signer: tuple[Signer | None] | None = None

    def push(self, sealed: BytesLike) -> bytes:
        """Opens the next piece: what of the payload is ready, perhaps nothing. Raises as `open` does."""
        return call(self._raw.push, as_bytes(sealed))

    def finish(self) -> bytes:
        """The rest of the payload, once everything was verified. Raises `Truncated` if the end is missing."""
        opened = call(self._raw.finish)
        self._signer = (signer_of(opened.signer),)
        return opened.plaintext

    @property
    def about(self) -> About | None:
        """What the sealer said, as soon as the header was opened, and until the end."""
        raw = call(self._raw.about)
        return None if raw is None else about_of(raw)

    @property
    def signer(self) -> Signer | None:
        """Who signed all of it. `Misuse` before `OpenStream.finish`: nobody knows before."""
        if self._signer is None:
            raise misuse("only a full read yields a signer")
        return self._signer[0]


def seal_chunks(
    chunks: Iterable[BytesLike],
    to: Readers,
    context: SealContext,
    *,
    length: int | None = None,
    sign: Identity | None = None,
    metadata: Metadata | None = None,
    created: int | None = None,
    content_type: str | None = None,
    filename: str | None = None,
    aead: Aead | None = None,
    part: str = "",
    allow_classical: bool = False,
) -> Iterator[bytes]:
    """Seals a payload that comes in chunks, while they come: the envelope in chunks. The options are those of `SealStream`."""
    stream = SealStream(
        to, context, length=length, sign=sign, metadata=metadata, created=created, content_type=content_type, filename=filename, aead=aead,
        part=part, allow_classical=allow_classical,
    )  # fmt: skip
    return _sealed(stream, chunks)


def _sealed(stream: SealStream, chunks: Iterable[BytesLike]) -> Iterator[bytes]:
    for chunk in chunks:
        if sealed := stream.push(chunk):
            yield sealed
    yield stream.finish()


class open_chunks(Iterator[bytes]):  # noqa: N801
    """Opens an envelope that comes in chunks, while they come: an iterator of the payload in chunks.

    Every chunk is authenticated, but **comes before the end was seen**; if that is missing the iterator raises `Truncated`. ``signer`` is there
    when it has ended. Raises as `open` does.
    """

    def __init__(
        self, chunks: Iterable[BytesLike], keys: Unlock, context: SealContext, *, expect: Expect = None, part: str = ""
    ) -> None:
        self._stream = OpenStream(keys, context, expect=expect, part=part)
        self._about: About | None = None
        self._opened = self._open(chunks)

    def _open(self, chunks: Iterable[BytesLike]) -> Iterator[bytes]:
        for chunk in chunks:
            opened = self._stream.push(chunk)
            if self._about is None:
                self._about = self._stream.about
            if opened:
                yield opened
        if opened := self._stream.finish():
            yield opened

    def __next__(self) -> bytes:
        return next(self._opened)

    @property
    def about(self) -> About | None:
        """What the sealer said, as soon as the header was opened."""
        return self._about

    @property
    def signer(self) -> Signer | None:
        """Who signed all of it. `Misuse` before the end: nobody knows before."""
        return self._stream.signer


class _Writable(Protocol):
    def write(self, data: bytes, /) -> object: ...


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes | None: ...


class SealWriter(io.BufferedIOBase):
    """A file to write a payload to, which writes its envelope to ``file``.

    The end of a ``with`` block writes the end of the envelope, and so does ``close()`` where there is no block; ``file`` stays open. A block that is
    left by an exception does not, and neither does a writer that is forgotten: a reader then says `Truncated`. The options are those of
    `SealStream`. After an error of ``file`` it stays failed, and after a write that was interrupted (Ctrl-C, a cancelled task) all is `Misuse`.

        with open("notes.sealed", "wb") as file, SealWriter(file, bob, context) as writer:
            shutil.copyfileobj(source, writer)

    What wraps it closes it whatever happened, so give it a block of its own, **which alone decides**: inside of it ``close()`` ends the writing, and
    not yet the envelope. Without a block half a text would count as whole after an exception. On a Python whose `io` does not say what is forgotten
    (CPython's does) ``close()`` without a block is `Misuse`, and no end.

        with open("notes.sealed", "wb") as file, SealWriter(file, bob, context) as writer, io.TextIOWrapper(writer) as text:
            text.write("…")
    """

    def __init__(
        self,
        file: BinaryIO | _Writable,
        to: Readers,
        context: SealContext,
        *,
        length: int | None = None,
        sign: Identity | None = None,
        metadata: Metadata | None = None,
        created: int | None = None,
        content_type: str | None = None,
        filename: str | None = None,
        aead: Aead | None = None,
        part: str = "",
        allow_classical: bool = False,
    ) -> None:
        self._over = False
        self._is_inside = False
        self._is_closing = False
        self._is_forgotten = False
        self._failure: Exception | None = None
        self._lock = threading.RLock()
        self._buffer = bytearray()
        self._file = file
        self._stream = SealStream(
            to, context, length=length, sign=sign, metadata=metadata, created=created, content_type=content_type, filename=filename,
            aead=aead, part=part, allow_classical=allow_classical,
        )  # fmt: skip

    @property
    def name(self) -> object:
        """What the file below is called."""
        return getattr(self._file, "name", None)

    def writable(self) -> bool:
        """Yes, until it is closed."""
        self._check()
        return True

    def write(self, data: BytesLike, /) -> int:  # type: ignore[override]
        """Takes all of ``data``."""
        with self._one_at_a_time():
            self._check()
            self._check_failure()
            view = memoryview(data)
            if len(self._buffer) + view.nbytes < _PIECE:
                self._buffer += view if view.c_contiguous else view.tobytes()
            else:
                self._push()
                self._put(lambda: self._stream.push(data if isinstance(data, bytes) else view.tobytes()))
            return view.nbytes

    def flush(self) -> None:
        """Hands on what is sealed. Up to 16 KiB remain until there is more, or the end."""
        # `IOBase.close` flushes, when all is done.
        if self._over and not super().closed:
            return
        with self._one_at_a_time():
            self._check()
            self._check_failure()
            self._push()
            self._flush_file()

    def abort(self) -> None:
        """Gives up: the envelope has no end, and no reader takes it for whole."""
        self._over = True
        super().close()

    def close(self) -> None:
        """Writes the end of the envelope; inside of a ``with`` block the end of that does."""
        if self.closed:
            return
        if self._is_inside:
            self.flush()
            self._is_closing = True
        elif self._is_forgotten:
            self.abort()
        elif not _TELLS:
            self.abort()
            raise misuse("a writer without a with block, where Python does not say what is forgotten")
        else:
            self._end()

    @property
    def closed(self) -> bool:
        """Whether nothing can be written any more."""
        return self._over or self._is_closing

    def __enter__(self) -> SealWriter:
        self._check()
        self._is_inside = True
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        self._is_inside = False
        if kind is not None:
            self.abort()
        elif not self._over:
            self._end()

    def __del__(self) -> None:
        """`IOBase` would close it, and so call half a payload whole."""

    def _dealloc_warn(self, _: object) -> None:
        """What wraps it was forgotten, and closes it next: `io` says so."""
        self._is_forgotten = True

    def _check(self) -> None:
        if self.closed:
            raise misuse("it is closed")

    def _one_at_a_time(self) -> threading.RLock:
        # Says `Misuse` after a fork, before the lock: another thread may have had that then.
        self._stream._raw  # noqa: B018
        return self._lock

    def _end(self) -> None:
        try:
            with self._one_at_a_time():
                if not self._over:
                    self._push()
                    self._put(self._stream.finish)
                    self._flush_file()
        finally:
            self.abort()

    def _flush_file(self) -> None:
        if flush := getattr(self._file, "flush", None):
            flush()

    def _check_failure(self) -> None:
        # What failed goes on failing: a part that is missing would have an end behind it.
        if self._failure is not None:
            raise self._failure

    def _push(self) -> None:
        def sealed() -> bytes:
            sealed = self._stream.push(self._buffer)
            self._buffer.clear()
            return sealed

        if self._buffer:
            self._put(sealed)

    def _put(self, seal: Callable[[], bytes]) -> None:
        self._check_failure()
        # Until all is written: nobody knows how far an interrupt let it come.
        self._failure = misuse("a write was interrupted")
        try:
            rest = memoryview(seal())
            while rest:
                rest = rest[self._written(rest) :]
        except Exception as error:
            self._failure = error
            raise
        self._failure = None

    def _written(self, rest: memoryview) -> int:
        written = self._file.write(rest if isinstance(self._file, io.IOBase) else bytes(rest))  # type: ignore[arg-type]
        # Files say that they took less. Raw ones that say nothing took nothing; whatever else says nothing took all.
        if not isinstance(written, int):
            written = 0 if isinstance(self._file, io.RawIOBase) else len(rest)
        if written <= 0:
            raise BlockingIOError(errno.EAGAIN, "the file takes nothing", 0)
        return written


class OpenReader(io.BufferedIOBase):
    """A file to read a payload from, which reads its envelope from ``file``.

    Every byte is authenticated, but **comes before the end was seen**: reading to the end verifies that nothing is missing (`Truncated`), and
    only then is there a ``signer``. Do not act for good on what was read before. Closing it leaves ``file`` open. Raises as `open` does.

        with open("notes.sealed", "rb") as file, OpenReader(file, bob, context) as reader:
            shutil.copyfileobj(reader, target)
    """

    def __init__(
        self, file: BinaryIO | _Readable, keys: Unlock, context: SealContext, *, expect: Expect = None, part: str = ""
    ) -> None:
        self._file = file
        self._stream = OpenStream(keys, context, expect=expect, part=part)
        self._about: About | None = None
        self._ready = memoryview(b"")
        self._ended = False
        self._failure: SealwireError | None = None

    @property
    def name(self) -> object:
        """What the file below is called."""
        return getattr(self._file, "name", None)

    def readable(self) -> bool:
        """Yes, until it is closed."""
        self._check()
        return True

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads ``size`` bytes, or to the end: fewer only at the end, ``b""`` once everything was verified."""
        if size is None or size < 0:
            pieces = []
            while self._fill():
                pieces.append(bytes(self._ready))
                self._ready = memoryview(b"")
            return b"".join(pieces)
        taken = bytearray()
        while len(taken) < size and self._fill():
            taken += self._take(size - len(taken))
        return bytes(taken)

    def read1(self, size: int = -1, /) -> bytes:
        """What is there, at most ``size`` bytes; ``b""`` once everything was verified."""
        if size == 0 or not self._fill():
            return b""
        return bytes(self._take(len(self._ready) if size < 0 else size))

    def peek(self, size: int = 0, /) -> bytes:
        """What is there, without taking it."""
        return bytes(self._ready) if self._fill() else b""

    @property
    def about(self) -> About | None:
        """What the sealer said, as soon as the header was read."""
        return self._about

    @property
    def signer(self) -> Signer | None:
        """Who signed all of it. `Misuse` before the end: nobody knows before."""
        return self._stream.signer

    def _take(self, size: int) -> memoryview:
        taken, self._ready = self._ready[:size], self._ready[size:]
        return taken

    def _fill(self) -> bool:
        """Whether there is something to take."""
        self._check()
        while not self._ready and not self._ended:
            # What failed goes on failing: an end behind an error would look like a whole payload.
            if self._failure is not None:
                raise self._failure
            try:
                self._step()
            except SealwireError as error:
                self._failure = error
                raise
        return len(self._ready) > 0

    def _step(self) -> None:
        sealed = self._file.read(_PIECE)
        if sealed:
            opened = self._stream.push(sealed)
            if self._about is None:
                self._about = self._stream.about
        elif sealed is None:
            raise BlockingIOError("the file has nothing yet")
        else:
            opened = self._stream.finish()
            self._ended = True
        self._ready = memoryview(opened)

    def _check(self) -> None:
        if self.closed:
            raise misuse("it is closed")


class SeekReader(io.BufferedIOBase):
    """Random access to a payload: a file to read and seek in, over an envelope in a seekable ``file``. What is read is what is decrypted.

    Every byte is authenticated, also its place; ``len()`` is the payload's length. There is **no signer**: only a full read yields one. Closing it
    leaves ``file`` open. Raises as `open` does. Source: SPEC §7.

        with open("film.sealed", "rb") as file:
            reader = SeekReader(file, bob, context)
            reader.seek(1_000_000)
            reader.read(4096)
    """

    def __init__(self, file: BinaryIO, keys: Unlock, context: SealContext, *, part: str = "") -> None:
        self._file = file
        self._at = 0
        front = self._front()
        opener = raw_opener(keys, context, None, part)
        start = call(ffi.RangeStart, front, file.seek(0, io.SEEK_END), opener)
        self._opener = call(start.finish, self._sealed(call(start.sealed)))
        self._length = call(self._opener.len)

    def __len__(self) -> int:
        return self._length

    # An empty payload is a file, too.
    def __bool__(self) -> bool:
        return True

    @property
    def about(self) -> About:
        """What the sealer said."""
        return about_of(call(self._opener.about))

    def read_range(self, start: int, end: int) -> bytes:
        """The bytes from ``start`` to before ``end``, wherever the file is. `Misuse` beyond the payload's end."""
        self._check()
        if not 0 <= start <= end <= self._length:
            raise misuse("a range that is not there")
        wanted = ffi.Range(start=start, end=end)
        return call(self._opener.open, wanted, self._sealed(call(self._opener.sealed, wanted)))

    @property
    def name(self) -> object:
        """What the file below is called."""
        return getattr(self._file, "name", None)

    def readable(self) -> bool:
        """Yes, until it is closed."""
        self._check()
        return True

    def seekable(self) -> bool:
        """Yes, until it is closed."""
        self._check()
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Goes to another place."""
        self._check()
        base = {io.SEEK_SET: 0, io.SEEK_CUR: self._at, io.SEEK_END: self._length}.get(whence)
        if base is None or base + offset < 0:
            raise misuse("a place that is not there")
        self._at = base + offset
        return self._at

    def tell(self) -> int:
        """Where it is."""
        self._check()
        return self._at

    def read(self, size: int | None = -1, /) -> bytes:
        """Reads ``size`` bytes, or to the end: fewer only at the end."""
        start = min(self._at, self._length)
        end = self._length if size is None or size < 0 else min(start + size, self._length)
        taken = self.read_range(start, end) if end > start else b""
        self._check()
        self._at = max(self._at, end)
        return taken

    def read1(self, size: int = -1, /) -> bytes:
        """The same as `read`, of at most 256 KiB."""
        return self.read(_PIECE if size < 0 else min(size, _PIECE))

    def _front(self) -> bytes:
        self._file.seek(0)
        front = b""
        while (wanted := call(ffi.front_len, front)) is None or len(front) < wanted:
            more = self._file.read(_FRONT if wanted is None else wanted - len(front))
            if not more:
                # The library says what is wrong with it.
                return front
            front += more
        return front[:wanted]

    def _sealed(self, wanted: ffi.Range) -> bytes:
        self._file.seek(wanted.start)
        left = wanted.end - wanted.start
        pieces = []
        while left > 0:
            piece = self._file.read(left)
            if not piece:
                raise Truncated("truncated: the file has become shorter")
            pieces.append(piece)
            left -= len(piece)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)

    def _check(self) -> None:
        if self.closed:
            raise misuse("it is closed")
