# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Files that this collection owns as a whole: installed with their original kept, released without a trace."""

from __future__ import annotations

import base64
import contextlib
import dataclasses
import hashlib
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import (
    FileMeta,
    Root,
    file_meta,
    remove,
    write_atomic,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger


@dataclasses.dataclass(frozen=True)
class OwnedFile:
    """A file as it shall be: ``path`` as the host sees it, content, permission bits."""

    path: str
    content: bytes
    mode: int = 0o644


@dataclasses.dataclass(frozen=True)
class FileChange:
    """What happened, or would happen, to one file; ``note`` is for people, ``None`` when there is nothing to say."""

    path: str
    before: bytes | None
    after: bytes | None
    note: str | None = None

    @property
    def changed(self) -> bool:
        return self.before != self.after


def digest(data: bytes) -> str:
    """SHA-256 in hexadecimal, the form in which the ledger compares contents."""
    return hashlib.sha256(data).hexdigest()


def _encode(data: bytes) -> str:
    return base64.b64encode(data).decode("ascii")


def owned_paths(ledger: Ledger, owner: str) -> list[str]:
    """The files that ``owner`` installed, sorted."""
    return sorted(path for path, record in ledger.section("files").items() if record["owner"] == owner)


def preview(root: Root, ledger: Ledger, wanted: OwnedFile) -> FileChange:
    """What :func:`install` would do; refuses where it would refuse. Writes nothing."""
    present = root.read_bytes(wanted.path)
    record = ledger.section("files").get(wanted.path)
    if present is not None and present != wanted.content:
        reason = obstacle(wanted.path, digest(present), record)
        if reason is not None:
            raise RefusedError(reason)
    return FileChange(wanted.path, present, wanted.content)


def obstacle(path: str, present: str, record: t.Mapping[str, t.Any] | None) -> str | None:
    """Why what lies at ``path``, of the digest ``present``, may not be overwritten; ``record`` is the ledger's."""
    if record is None:
        return f"{path} exists and was not written by virtfleet.passthrough: move it away if it is not needed"
    if not is_ours(present, record):
        return (
            f"{path} was written by virtfleet.passthrough and changed by someone since: "
            "move those lines to a file of their own, then remove it"
        )
    return None


def is_ours(present: str, record: t.Mapping[str, t.Any]) -> bool:
    """Whether the content of the digest ``present`` is what we wrote last, or, where a run was cut off before it
    wrote, what we wrote before that."""
    return present in (record["written"], record.get("replaces"))


def install(root: Root, ledger: Ledger, owner: str, wanted: OwnedFile) -> FileChange:
    """Write ``wanted`` if its content differs. The ledger is saved first: after a power cut it may name a
    file that is not there, or a content that is not written yet, never miss one that is."""
    change = preview(root, ledger, wanted)
    files = ledger.section("files")
    recorded = dict(files[wanted.path]) if wanted.path in files else None
    if not change.changed and recorded is not None:
        return change
    if wanted.path not in files:
        real = root.path(wanted.path)
        meta = file_meta(real)
        present = root.read_bytes(wanted.path)
        original = None
        if present is not None and meta is not None:
            original = {"content": _encode(present), "mode": meta.mode, "uid": meta.uid, "gid": meta.gid}
        files[wanted.path] = {"owner": owner, "original": original}
        _note_new_directories(root, ledger, wanted.path)
    elif change.before is not None and change.changed:
        files[wanted.path]["replaces"] = digest(change.before)
    files[wanted.path].update(written=digest(wanted.content), content=_encode(wanted.content))
    ledger.save()
    if not change.changed:
        return change
    try:
        write_atomic(root.path(wanted.path), wanted.content, FileMeta(mode=wanted.mode))
    except BaseException:
        _forget_install(root, ledger, wanted.path, recorded)
        raise
    if files[wanted.path].pop("replaces", None) is not None:
        ledger.save()
    return change


def _forget_install(root: Root, ledger: Ledger, path: str, recorded: t.Mapping[str, t.Any] | None) -> None:
    """What could not be written must not count as written: the file would look changed by somebody else."""
    if recorded is None:
        del ledger.section("files")[path]
    else:
        ledger.section("files")[path] = dict(recorded)
    _remove_our_empty_directories(root, ledger)
    ledger.save()


def _note_new_directories(root: Root, ledger: Ledger, path: str) -> None:
    directory = os.path.dirname(path)
    while directory not in ("", "/") and not root.exists(directory):
        ledger.section("directories")[directory] = {}
        directory = os.path.dirname(directory)


def preview_release(root: Root, ledger: Ledger, path: str) -> FileChange:
    """What :func:`release` would leave at ``path``. Writes nothing."""
    present = root.read_bytes(path)
    after, note = _after_release(ledger, path, present)
    return FileChange(path, present, after, note)


def _after_release(ledger: Ledger, path: str, present: bytes | None) -> tuple[bytes | None, str | None]:
    record = ledger.section("files").get(path)
    if record is None or present is None:
        return present, None
    original = None if record["original"] is None else base64.b64decode(record["original"]["content"])
    # The original itself is what a release leaves that was cut off before the ledger knew.
    if present == original or is_ours(digest(present), record):
        return original, None
    left = _without_our_lines(present, base64.b64decode(record["content"]))
    note = f"{path} was changed by someone since virtfleet.passthrough wrote it: only our lines go, look at the rest"
    return left or None, note


def release(root: Root, ledger: Ledger, path: str) -> FileChange:
    """Bring back what was at ``path`` before us; where someone else changed the file, take out only our lines."""
    present = root.read_bytes(path)
    after, note = _after_release(ledger, path, present)
    change = FileChange(path, present, after, note)
    record = ledger.section("files").pop(path, None)
    if record is None:
        return change
    if present != after:
        _put_back(root.path(path), after, record["original"] if note is None else None)
    _remove_our_empty_directories(root, ledger)
    ledger.save()
    return change


def disown(root: Root, ledger: Ledger, path: str) -> None:
    """From now on the file at ``path`` is somebody else's, as it stands."""
    if ledger.section("files").pop(path, None) is not None:
        _remove_our_empty_directories(root, ledger)
        ledger.save()


def _put_back(real: str, content: bytes | None, original: t.Mapping[str, t.Any] | None) -> None:
    if content is None:
        remove(real)
    elif original is not None:
        write_atomic(real, content, FileMeta(original["mode"], original["uid"], original["gid"]))
    else:
        write_atomic(real, content)


def _without_our_lines(present: bytes, ours: bytes) -> bytes:
    remaining = ours.splitlines()
    kept: list[bytes] = []
    for line in present.splitlines(keepends=True):
        if line.rstrip(b"\r\n") in remaining:
            remaining.remove(line.rstrip(b"\r\n"))
        else:
            kept.append(line)
    return b"".join(kept)


def _remove_our_empty_directories(root: Root, ledger: Ledger) -> None:
    """Take away the directories that we made and need no more. One that somebody else has put a file into stays,
    and from then on is theirs."""
    directories = ledger.section("directories")
    for directory in sorted(directories, key=len, reverse=True):
        if any(path.startswith(f"{directory}/") for path in ledger.section("files")):
            continue
        with contextlib.suppress(OSError):
            os.rmdir(root.path(directory))
        del directories[directory]


def diff_entry(change: FileChange) -> dict[str, t.Any]:
    """The change in the form that Ansible prints with ``--diff``."""
    before, after = (b"" if data is None else data for data in (change.before, change.after))
    return text_diff(change.path, before.decode("utf-8", "replace"), after.decode("utf-8", "replace"))


def text_diff(name: str, before: str, after: str) -> dict[str, t.Any]:
    """Two texts in the form that Ansible prints with ``--diff``."""
    return {"before": before, "after": after, "before_header": name, "after_header": name}
