"""Objects that live in the library."""

from __future__ import annotations

from typing import Any, Generic, NoReturn, TypeVar

from ._error import misuse

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
