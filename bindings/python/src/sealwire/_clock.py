"""The clock, as the library takes it."""

from __future__ import annotations

import time


def now() -> int:
    """Unix seconds."""
    return int(time.time())
