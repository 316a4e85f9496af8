"""A process that does not outlive the one that started it."""

from __future__ import annotations

import os
import signal
import threading


def end_with_starter() -> None:
    """Stop this process, as by SIGTERM, once standard input closes; the starter holds its other end."""

    def watch() -> None:
        while os.read(0, 4096):
            pass
        os.kill(os.getpid(), signal.SIGTERM)

    threading.Thread(target=watch, daemon=True).start()
