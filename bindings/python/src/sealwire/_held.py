"""Objects that live in the library."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, TypeVar

from ._buffers import replace
from ._error import misuse
from ._ffi import sealwire as ffi

Raw = TypeVar("Raw")
Self = TypeVar("Self", bound="Held[Any]")


class Held(Generic[Raw]):
    """Holds an object of the library until it is closed. Copies and pickles of it would be two owners of one thing: there are none."""

    __slots__ = ("__weakref__", "_held")

    def __init__(self, raw: Raw) -> None:
        self._held: Raw | None = raw

    @classmethod
    def _of(cls: type[Self], raw: Any) -> Self:
        made = cls.__new__(cls)
        made._held = raw
        return made

    @property
    def _raw(self) -> Raw:
        held = self._held
        if held is None:
            raise misuse("it is closed")
        return held

    def __reduce__(self) -> NoReturn:
        raise TypeError(f"{type(self).__name__} cannot be copied or pickled")

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class Closing(Held[Raw]):
    """The same, for what people close: keys."""

    __slots__ = ()

    def close(self) -> None:
        """Gives it up: secrets in it are wiped as soon as nothing else uses them. Every later use is `Misuse`; closing twice is not."""
        self._held = None

    def __enter__(self: Self) -> Self:
        self._raw  # noqa: B018
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _gone_is_gone(kind: Any) -> None:
    """Lets what is used after its end say `Misuse`.

    Garbage that refers to itself is finalised in any order: the finaliser of a file or a generator may come after that of the library's object
    which it has, whose handle would then point to what is freed.
    """
    delete, clone = kind.__del__, kind._uniffi_clone_handle

    def deleted(self: Any) -> None:
        delete(self)
        self.__dict__.pop("_handle", None)

    def cloned(self: Any) -> Any:
        if "_handle" not in self.__dict__:
            raise misuse("it is closed")
        return clone(self)

    replace(kind, "__del__", deleted)
    replace(kind, "_uniffi_clone_handle", cloned)


def _is_a_bool(value: object) -> None:
    """To the generated code ``"false"`` would be true, or end in an error of `struct`."""
    if not isinstance(value, bool):
        raise TypeError(f"a bool is wanted, not {type(value).__name__}")


replace(ffi._UniffiFfiConverterBoolean, "check_lower", _is_a_bool)

for _kind in list(vars(ffi).values()):
    if "__del__" in getattr(_kind, "__dict__", {}):
        _gone_is_gone(_kind)
