"""Lock of an output folder, which allows one run at a time."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
import time
from pathlib import Path
from types import TracebackType

from mmrefine.files.atomic import OutputError

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None

_HEARTBEAT_S = 10.0
_STALE_S = 120.0  # network file systems may show changes of other machines up to a minute late


class Lock:
    """Context manager in which no other run writes to the folder.

    On one machine the operating system holds the lock and releases it when the process exits. Machines that share a
    disk also check the age of the owner's last heartbeat, so that the lock of a lost machine is taken over.

    Args:
        path: the lock file, which contains its owner and start time.
    """

    def __init__(self, path: Path):
        self.path = path
        self._handle: int | None = None
        self._stopping = threading.Event()
        self._heartbeat_thread: threading.Thread | None = None

    def __enter__(self) -> Lock:
        """Take the lock.

        Raises:
            OutputError: another run holds it, or the folder is not writable.
        """
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            self._handle = os.open(self.path, os.O_RDWR | os.O_CREAT, 0o644)
        except OSError as error:
            raise OutputError(
                f'{self.path} cannot be written ({error.strerror or error}); choose another --out.'
            ) from error
        is_held = self._hold()
        owner = self._owner()
        # Without locks of the file system, the heartbeat is used on the same machine too.
        is_far = owner.get('host') != socket.gethostname() or not is_held
        if owner and is_far and time.time() - os.fstat(self._handle).st_mtime < _STALE_S:
            self._refuse()
        text = json.dumps({'host': socket.gethostname(), 'process': os.getpid(), 'since': time.strftime('%F %T %Z')})
        os.ftruncate(self._handle, 0)
        os.pwrite(self._handle, text.encode(), 0)
        self._heartbeat_thread = threading.Thread(target=self._heartbeat, daemon=True)
        self._heartbeat_thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self._stopping.set()
        self._heartbeat_thread.join()
        with contextlib.suppress(OSError):
            self.path.unlink()
        os.close(self._handle)

    def _hold(self) -> bool:
        """Lock the file; False if the file system does not support it."""
        if fcntl is None:
            return False
        try:
            fcntl.flock(self._handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._refuse()
        except OSError:  # the file system has no locks
            return False
        return True

    def _heartbeat(self) -> None:
        while not self._stopping.wait(_HEARTBEAT_S):
            with contextlib.suppress(OSError):
                os.utime(self._handle)

    def _owner(self) -> dict:
        try:
            owner = json.loads(os.pread(self._handle, 4096, 0))
        except ValueError:  # empty, or damaged
            return {}
        return owner if isinstance(owner, dict) else {}

    def _refuse(self) -> None:
        owner = self._owner()
        os.close(self._handle)
        raise OutputError(
            f'{self.path.parent.parent} is in use by process {owner.get("process", "?")} on {owner.get("host", "?")} '
            f'since {owner.get("since", "?")}; wait for it, or choose another --out.'
        )
