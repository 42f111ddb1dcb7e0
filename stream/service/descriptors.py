"""File descriptors: each connection takes one, and the system bounds them for each process.

Without a free one, the system drops new connections before the server sees them.
"""

from __future__ import annotations

import contextlib
import errno
import logging
import os

logger = logging.getLogger(__name__)

_OTHERS = 64  # descriptors that are no connections: files, pipes, sockets between workers
_LOG_EVERY_S = 10.0


def raise_limit(connections: int) -> None:
    """Allow this process all the descriptors that it may have; warn if these are too few.

    Args:
        connections: number of connections that the server may have.
    """
    try:
        import resource
    except ImportError:  # Windows has no such limit
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    with contextlib.suppress(ValueError, OSError):  # where the system allows less than it says
        resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
        soft = hard
    needed = connections + _OTHERS
    if soft != resource.RLIM_INFINITY and soft < needed:
        logger.warning(
            "expected a limit of at least %d file descriptors for this many connections, got %d: "
            "lower --max-sessions, or raise the limit (ulimit -n)",
            needed,
            soft,
        )


class DescriptorWatch:
    """Logs when no descriptor is left, at most once every ten seconds."""

    def __init__(self) -> None:
        self._logged_s = -_LOG_EVERY_S

    def check(self, now_s: float) -> None:
        """Try to get a descriptor; called a few times per second.

        Args:
            now_s: time by a monotonic clock.
        """
        if now_s - self._logged_s < _LOG_EVERY_S:
            return
        try:
            os.close(os.open(os.devnull, os.O_RDONLY))
        except OSError as error:
            if error.errno in (errno.EMFILE, errno.ENFILE):
                self._logged_s = now_s
                logger.error(
                    "no file descriptor is left, so new connections are lost: lower "
                    "--max-sessions and --max-opening, or raise the limit (ulimit -n): %s",
                    error.strerror,
                )
