"""Keeps the log lines of a native library away from the user's standard error."""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress

_ONE_AT_A_TIME = threading.Lock()
_WAIT = 2.0  # seconds for the last lines; a child process may keep the pipe open for longer


@contextmanager
def without_lines(pattern: str) -> Iterator[None]:
    """Drop lines whose start matches `pattern` from file descriptor 2 while the block runs.

    A native library writes to the descriptor itself, which replacing Python's `sys.stderr` does not change.
    Other lines, of any thread, go where they would have gone. The descriptor is restored in any case.
    """
    with _ONE_AT_A_TIME:
        saved = None
        with suppress(OSError):  # a program may have no standard error
            saved = os.dup(2)
        if saved is None:
            yield
            return
        reader, writer = os.pipe()
        lines = threading.Thread(target=_pass_on, args=(reader, saved, re.compile(pattern.encode())))
        lines.daemon = True
        lines.start()
        os.dup2(writer, 2)
        os.close(writer)
        try:
            yield
        finally:
            os.dup2(saved, 2)  # the pipe has no writer now: the thread ends after its last line
            lines.join(_WAIT)


def _pass_on(reader: int, to: int, unwanted: re.Pattern[bytes]) -> None:
    """Copy lines except unwanted ones until no writer is left; then close both ends."""
    with os.fdopen(reader, "rb") as lines, os.fdopen(to, "wb", buffering=0) as out:
        for line in lines:
            if not unwanted.match(line):
                with suppress(OSError):  # nobody reads standard error
                    out.write(line)
