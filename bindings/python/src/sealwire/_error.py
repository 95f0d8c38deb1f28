"""What can go wrong, and how it gets here from the library."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import ParamSpec, TypeVar

from ._ffi import sealwire as ffi

__all__ = [
    "Expired", "Internal", "InvalidKey", "Malformed", "Misuse", "NetworkFailed", "NotRecipient", "Rejected", "Replayed",
    "SealwireError", "StoreFailed", "TooLarge", "Truncated", "Unsealed", "Unsupported",
]  # fmt: skip

P = ParamSpec("P")
T = TypeVar("T")


class SealwireError(Exception):
    """The one family of errors of this package.

    ``code`` is for programs and never changes its meaning; it is the same in every language (SPEC §15). The text is a fixed sentence
    without any input data, safe to log. Every code has a subclass, so that ``except NotRecipient:`` works as well.
    """

    code: str = "internal"
    """What went wrong, for programs."""


class Malformed(SealwireError):
    """The bytes are not what they should be."""

    code = "Malformed"


class Unsupported(SealwireError):
    """A version, an algorithm or a critical field that this release does not know."""

    code = "Unsupported"


class InvalidKey(SealwireError):
    """A key, a recipient, a signer or a pin that is not one."""

    code = "InvalidKey"


class NotRecipient(SealwireError):
    """No key opens it: also for a wrong passphrase, and for an altered header."""

    code = "NotRecipient"


class Rejected(SealwireError):
    """It was altered, belongs to another context, or is by somebody who was not expected."""

    code = "Rejected"


class Truncated(SealwireError):
    """The end is missing."""

    code = "Truncated"


class TooLarge(SealwireError):
    """Above one of the limits."""

    code = "TooLarge"


class Misuse(SealwireError, ValueError):
    """The call makes no sense: what it says was found before anything was done. Also for what is used after its end."""

    code = "Misuse"


class Replayed(SealwireError):
    """A request that came before."""

    code = "Replayed"


class Expired(SealwireError):
    """A date that is too far from the clock."""

    code = "Expired"


class Unsealed(SealwireError):
    """The answer has not the protection that the policy demands: a proxy's error page, say. It is never data."""

    code = "Unsealed"

    def __init__(self, text: str = "", status: int | None = None) -> None:
        super().__init__(text)
        self.status = status
        """The outer HTTP status, which is unprotected itself."""


class NetworkFailed(SealwireError):
    """The network failed. ``__cause__`` has the HTTP client's own error."""

    code = "Network"


class StoreFailed(SealwireError):
    """A store of secrets or a replay cache failed. ``__cause__`` has its own error if it is one of yours."""

    code = "Store"


class Internal(SealwireError):
    """The library itself failed: a bug. Please report it."""

    code = "internal"


_BY_CODE: dict[str, type[SealwireError]] = {
    kind.code: kind
    for kind in (
        Malformed, Unsupported, InvalidKey, NotRecipient, Rejected, Truncated, TooLarge, Misuse, Replayed, Expired, Unsealed,
        NetworkFailed, StoreFailed,
    )
}  # fmt: skip

# What a callback raised while the library was called from this thread: it becomes the cause of what the library says then.
_thrown = threading.local()


def made(code: str, text: str, status: int | None = None) -> SealwireError:
    """The error with this code."""
    if code == "Unsealed":
        return Unsealed(text, status)
    return _BY_CODE.get(code, Unsupported)(text)


def misuse(what: str) -> Misuse:
    """A `Misuse` that was found before the library was asked."""
    return Misuse(f"misuse: {what}")


def call(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls the library, and raises this package's errors for its own."""
    _thrown.error = None
    failure: SealwireError
    try:
        result = function(*args, **kwargs)
    except ffi.Failure as failed:
        failure = _told(failed)
    except SealwireError as own:
        failure = own
    except ffi.InternalError:
        failure = Internal("the library failed")
    except UnicodeEncodeError:
        failure = misuse("text with half a surrogate pair")
    except ValueError:
        failure = misuse("a number that does not fit")
    else:
        if _thrown.error is not None:
            _cause()
        return result
    # Only here, where what was raised is no context of it: that may hold anything, such as a secret text.
    try:
        cause = _cause()
        if cause is None:
            raise failure
        raise failure from cause
    finally:
        # Its traceback has this frame, with arguments and all: not to be kept until a collector comes by.
        del failure


def calling_back(function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
    """Calls the app from within the library, and gives the library what it understands of an error.

    What is no `Exception` (Ctrl-C, a cancelled task) is a failure to the library, and goes on as itself when that has returned.
    """
    if _is_interrupted():
        raise _failure("Store", None)
    _thrown.error = None
    try:
        return function(*args, **kwargs)
    except BaseException as error:
        _thrown.error = error
        code = error.code if isinstance(error, SealwireError) else "Store"
        raise _failure(code, getattr(error, "status", None)) from error


def telling(function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> None:
    """Tells the app something from within the library, which does not care what comes of it."""
    thrown: BaseException | None = getattr(_thrown, "error", None)
    try:
        function(*args, **kwargs)
    except Exception:  # noqa: BLE001
        pass
    except BaseException as error:
        thrown = error
    _thrown.error = thrown


def _told(failure: ffi.Failure) -> SealwireError:
    # The generated classes have no common attribute that type checkers know of.
    return made(type(failure).__name__, getattr(failure, "text"), getattr(failure, "status", None))  # noqa: B009


def _cause() -> BaseException | None:
    cause: BaseException | None = getattr(_thrown, "error", None)
    interrupted = _is_interrupted()
    _thrown.error = None
    if cause is not None and interrupted:
        raise cause
    return cause


def _is_interrupted() -> bool:
    return not isinstance(getattr(_thrown, "error", None), (Exception, type(None)))


def _failure(code: str, status: int | None) -> Exception:
    kind = getattr(ffi.Failure, code, getattr(ffi.Failure, "Store"))  # noqa: B009
    made: Exception = kind("said a callback", status or 0) if code == "Unsealed" else kind("said a callback")
    return made
