"""A process that kills itself with SIGKILL at a chosen call of the operating system: what a power cut looks like."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from typing import Any


def die_at(call: str, number: int, moment: str = "before") -> None:
    """From now on this process dies at the *number*-th `os.CALL`, before or after it was carried out."""
    real: Callable[..., Any] = getattr(os, call)
    left = number

    def counted(*arguments: Any, **options: Any) -> Any:
        nonlocal left
        left -= 1
        if left == 0 and moment == "before":
            os.kill(os.getpid(), signal.SIGKILL)
        result = real(*arguments, **options)
        if left == 0:
            os.kill(os.getpid(), signal.SIGKILL)
        return result

    setattr(os, call, counted)


def dies(work: Callable[[], Any], call: str, number: int, moment: str = "before") -> bool:
    """Do the work in a forked process that dies so; False when it came to its end before."""
    if (child := os.fork()) == 0:
        die_at(call, number, moment)
        try:
            work()
        finally:
            os._exit(0)
    return os.WIFSIGNALED(os.waitpid(child, 0)[1])
