"""The journal of a session on disk: one append-only file, a line a record.

    $XDG_STATE_HOME/codex-oss/sessions/<project>/<session id>.jsonl       (default ~/.local/state)

Counterparts: `agent.journal` says what a record is and folds them, `services.agent_turn` writes them.

Rules that hold here:

1. A line counts when it ends in a line feed. What stands after the last one is a torn write of a process that was
   killed; it is cut off when the session is opened again.
2. One append is one write and one `fdatasync`.
3. One writer: the file is locked while its session is open, and a second one is refused (`session_busy`). The lock
   goes with the process.
4. It holds conversations: folder 0700, file 0600, never through a link. An id cannot leave the folder.
5. A line that ends but cannot be read is never skipped: going on without it would show the model another past.
"""

from __future__ import annotations

import errno
import fcntl
import hashlib
import os
import re
import stat
from collections.abc import Iterable
from contextlib import suppress
from pathlib import Path
from typing import Final

import msgspec

from codex_oss.agent.journal import Conversation, Record, SessionBegan
from codex_oss.errors import InvalidRequest, LocalProtocolError, StoreError
from codex_oss.services.state_files import ensure_private_dir, sync_folder

SESSION_ID: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
MAX_JOURNAL_BYTES: Final = 256 * 1024 * 1024
_FLAGS: Final = os.O_RDWR | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_NONBLOCK
_ENCODER: Final = msgspec.json.Encoder()
_DECODER: Final = msgspec.json.Decoder(Record)


def sessions_folder(state: Path, project: Path) -> Path:
    """Where the sessions of one project lie. The folder's name is a digest, so that any path fits."""
    digest = hashlib.sha256(os.fsencode(os.path.realpath(project))).hexdigest()[:24]
    return state / "sessions" / digest


def check_session_id(session_id: str) -> str:
    """*session_id*. Raises InvalidRequest for one that could not be the name of a file."""
    if not SESSION_ID.fullmatch(session_id):
        raise InvalidRequest(
            "A session id has 1 to 64 letters, digits, dots, dashes or underscores, and begins with a letter or digit.",
            code="session_id_invalid",
        )
    return session_id


class SessionJournal:
    """One session, open for this process alone. Close it, or let the process end.

    conversation: the fold of what was read and appended.
    """

    def __init__(self, folder: Path, session_id: str) -> None:
        """Open or make it. Raises InvalidRequest for the id, StoreError: session_busy, session_unreadable, …"""
        self.path = folder / f"{check_session_id(session_id)}.jsonl"
        ensure_private_dir(folder.parent)
        ensure_private_dir(folder)
        self._fd = _open_locked(self.path)
        try:
            data = _read(self._fd, self.path)
            committed = data.rfind(b"\n") + 1
            if committed < len(data):
                os.ftruncate(self._fd, committed)
            self._size = committed
            self.conversation: Conversation = _fold(data[:committed], self.path)
        except BaseException:
            self.close()
            raise

    def append(self, *records: Record) -> None:
        """Fold the records and write them. Raises StoreError; then nothing of them counts and the journal is closed."""
        if self._fd < 0:
            raise StoreError("The journal of this session is closed.", code="session_closed")
        if not records:
            return
        for record in records:
            self.conversation.take(record)
        data = b"".join(_ENCODER.encode(record) + b"\n" for record in records)
        try:
            written = os.write(self._fd, data)
            if written < len(data):
                os.ftruncate(self._fd, self._size)
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            os.fdatasync(self._fd)
            if not self._size:
                sync_folder(self.path.parent)
        except OSError as exc:
            self.close()
            raise StoreError(f"{self.path} cannot be written: {exc.strerror}.", code="session_unwritable") from exc
        self._size += len(data)

    def close(self) -> None:
        """Let the file and its lock go; closing twice is harmless. A session in which nothing was said leaves none."""
        fd, self._fd = self._fd, -1
        if fd < 0:
            return
        with suppress(OSError):
            if not os.fstat(fd).st_size:
                os.unlink(self.path)
        os.close(fd)


def _open_locked(path: Path) -> int:
    for _ in range(8):
        try:
            fd = os.open(path, _FLAGS, 0o600)
        except OSError as exc:
            raise StoreError(f"{path} cannot be opened: {exc.strerror}.", code="session_unreadable") from exc
        try:
            status = os.fstat(fd)
            if not stat.S_ISREG(status.st_mode) or status.st_uid != os.geteuid():
                raise StoreError(f"{path} is no regular file of this user.", code="session_unreadable")
            fcntl.flock(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
            # Whoever closed an empty session took its file away; a lock on that one would guard nothing.
            with suppress(FileNotFoundError):
                named = os.stat(path, follow_symlinks=False)
                if (named.st_dev, named.st_ino) == (status.st_dev, status.st_ino):
                    os.fchmod(fd, 0o600)
                    return fd
        except BlockingIOError as exc:
            os.close(fd)
            raise StoreError(
                f"Another process works in session {path.stem!r} just now.",
                hint="Wait until it ends, or begin another session.",
                code="session_busy",
            ) from exc
        except BaseException:
            os.close(fd)
            raise
        os.close(fd)
    raise StoreError(f"{path} cannot be opened: it changes all the time.", code="session_unreadable")


def _read(fd: int, path: Path) -> bytes:
    parts: list[bytes] = []
    size = 0
    os.lseek(fd, 0, os.SEEK_SET)
    try:
        while chunk := os.read(fd, 1 << 20):
            size += len(chunk)
            parts.append(chunk)
            if size > MAX_JOURNAL_BYTES:
                raise StoreError(f"{path} is larger than {MAX_JOURNAL_BYTES} bytes.", code="session_unreadable")
    except OSError as exc:
        raise StoreError(f"{path} cannot be read: {exc.strerror}.", code="session_unreadable") from exc
    return b"".join(parts)


def _fold(data: bytes, path: Path) -> Conversation:
    lines: Iterable[bytes] = data.split(b"\n")[:-1]
    conversation, number = Conversation(), 0
    try:
        for number, line in enumerate(lines, 1):
            record = _DECODER.decode(line)
            if (number == 1) != isinstance(record, SessionBegan):
                raise ValueError("a session begins once")
            conversation.take(record)
    except (msgspec.MsgspecError, ValueError, LocalProtocolError) as exc:
        raise StoreError(
            f"Line {number} of {path} is no record of a session.",
            hint="Begin a new session; the file was left as it is.",
            code="session_unreadable",
        ) from exc
    return conversation
