# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Files that no boot entry can switch off, held back until a boot on trial is kept.

modprobe and systemd-modules-load know no generation: what lies in their directories counts in the old boot entry too,
should the host come back to it. So before a trial such a file stands in the ledger alone. The image on trial has it in
its place already (``_initramfs/as_kept.py``); modules that are loaded later get the same from the trial's command line,
which modprobe(8) and systemd-modules-load.service(8) read as well. The commit puts the file into its place.

A file that takes away something that the present one says cannot wait: the trial would find it there all the same.
"""

from __future__ import annotations

import base64
import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import module_name, parse
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import FileChange, OwnedFile, digest

SECTION: t.Final = "held_back"

_MODPROBE: t.Final = "/etc/modprobe.d/"
_MODULES_LOAD: t.Final = "/etc/modules-load.d/"
_PLACES: t.Final = (_MODPROBE, _MODULES_LOAD)
# Nor does driverctl, for whose files the command line has no word.
WITHOUT_GENERATION: t.Final = (*_PLACES, "/etc/driverctl.d/")

# vfio-pci has them in the initramfs, from the file itself.
_ONLY_EARLY: t.Final = ("vfio_pci", "ids")


@dataclasses.dataclass(frozen=True)
class Held:
    """One file that waits, and the component that it belongs to."""

    owner: str
    file: OwnedFile


def read_held(ledger: Ledger) -> dict[str, Held]:
    """What waits for a commit, by path."""
    return {
        path: Held(entry["owner"], OwnedFile(path, base64.b64decode(entry["content"]), entry["mode"]))
        for path, entry in sorted(ledger.section(SECTION).items())
    }


def digests(ledger: Ledger) -> dict[str, str]:
    """SHA-256 of what waits, by path."""
    return {path: digest(held.file.content) for path, held in read_held(ledger).items()}


def outlasts(path: str, before: bytes | None, after: bytes | None) -> bool:
    """Whether a change of the file at ``path`` counts in every boot entry at once, as it cannot be held back."""
    return path.startswith(WITHOUT_GENERATION) and not _can_wait(path, before, after)


def _can_wait(path: str, before: bytes | None, after: bytes | None) -> bool:
    if after is None or not path.startswith(_PLACES):
        return False
    return _settings(path, before or b"") <= _settings(path, after)


def _settings(path: str, content: bytes) -> set[tuple[str, ...]]:
    """What the file says, in pieces of which each counts alone."""
    text = content.decode("utf-8", "replace")
    if path.startswith(_MODULES_LOAD):
        return {("load", name) for name in _loaded(text)}
    found: set[tuple[str, ...]] = set()
    for directive in parse(text, path):
        for name, value in directive.parameters.items():
            found.update((directive.module, name, piece) for piece in (value or "").split(","))
        if not directive.parameters:
            found.add((directive.command, directive.module, directive.rest))
    return found


def _loaded(text: str) -> list[str]:
    lines = (line.strip() for line in text.splitlines())
    return [module_name(line) for line in lines if line and not line.startswith(("#", ";"))]


def arguments(files: t.Iterable[OwnedFile]) -> list[str]:
    """Kernel arguments that bring what ``files`` say to modules that are loaded from the root file system."""
    options: list[str] = []
    blacklisted: list[str] = []
    loaded: list[str] = []
    for file in files:
        text = file.content.decode("utf-8", "replace")
        if file.path.startswith(_MODULES_LOAD):
            loaded += _loaded(text)
            continue
        for directive in parse(text, file.path):
            blacklisted += [directive.module] if directive.command == "blacklist" else []
            options += [
                f"{directive.module}.{name}" + ("" if value is None else f"={value}")
                for name, value in directive.parameters.items()
                if (directive.module, name) != _ONLY_EARLY
            ]
    options += [f"modprobe.blacklist={','.join(blacklisted)}"] if blacklisted else []
    return options + ([f"modules_load={','.join(loaded)}"] if loaded else [])


def preview(
    root: Root, ledger: Ledger, owner: str, wanted: t.Sequence[OwnedFile], trial_first: bool
) -> tuple[FileChange, ...]:
    """What :func:`write` would do; refuses where the commit would refuse as well. Writes nothing."""
    changes = [_foretold(root, ledger, file, trial_first) for file in wanted]
    return (*changes, *(_foretold_release(root, ledger, path) for path in _leaving(ledger, owner, wanted)))


def _foretold(root: Root, ledger: Ledger, file: OwnedFile, trial_first: bool) -> FileChange:
    change = _owned.preview(root, ledger, file)
    held = read_held(ledger).get(file.path)
    if held is None:
        return change
    replaced = not change.changed and held.file != file
    return dataclasses.replace(change, before=held.file.content) if replaced or _waits(change, trial_first) else change


def _foretold_release(root: Root, ledger: Ledger, path: str) -> FileChange:
    change = _owned.preview_release(root, ledger, path)
    held = read_held(ledger).get(path)
    return change if held is None or change.changed else dataclasses.replace(change, before=held.file.content)


def _waits(change: FileChange, trial_first: bool) -> bool:
    return trial_first and change.changed and _can_wait(change.path, change.before, change.after)


def _leaving(ledger: Ledger, owner: str, wanted: t.Iterable[OwnedFile]) -> list[str]:
    held = {path for path, found in read_held(ledger).items() if found.owner == owner}
    return sorted({*_owned.owned_paths(ledger, owner), *held} - {file.path for file in wanted})


def write(root: Root, ledger: Ledger, owner: str, wanted: t.Sequence[OwnedFile], trial_first: bool) -> list[str]:
    """Bring every file of ``owner`` to what is ``wanted``, and hold back until a commit what can wait for it if
    ``trial_first``; gives notes for people."""
    for file in wanted:
        if _waits(_owned.preview(root, ledger, file), trial_first):
            _hold(ledger, owner, file)
        else:
            _owned.install(root, ledger, owner, file)
            _forget(ledger, file.path)
    notes = []
    for path in _leaving(ledger, owner, wanted):
        notes.append(_owned.release(root, ledger, path).note)
        _forget(ledger, path)
    return [note for note in notes if note is not None]


def _hold(ledger: Ledger, owner: str, file: OwnedFile) -> None:
    content = base64.b64encode(file.content).decode("ascii")
    entry = {"owner": owner, "content": content, "mode": file.mode}
    if ledger.section(SECTION).get(file.path) != entry:
        ledger.section(SECTION)[file.path] = entry
        ledger.save()


def _forget(ledger: Ledger, path: str) -> None:
    if ledger.section(SECTION).pop(path, None) is not None:
        ledger.save()


def not_wanted(ledger: Ledger, owner: str, wanted: t.Mapping[str, str]) -> list[str]:
    """The files of ``owner`` that wait although nobody wants them so; ``wanted`` are digests by path."""
    return [
        path
        for path, held in read_held(ledger).items()
        if held.owner == owner and wanted.get(path) != digest(held.file.content)
    ]


def drop(ledger: Ledger) -> bool:
    """Hold nothing back any more, and put nothing into place; gives whether there was anything."""
    if not ledger.section(SECTION):
        return False
    ledger.section(SECTION).clear()
    ledger.save()
    return True


def preview_kept(root: Root, ledger: Ledger, paths: t.Collection[str]) -> tuple[FileChange, ...]:
    """What :func:`keep` would do; refuses where a file is somebody else's by now."""
    return tuple(_owned.preview(root, ledger, held.file) for path, held in read_held(ledger).items() if path in paths)


def keep(root: Root, ledger: Ledger, paths: t.Collection[str]) -> None:
    """Put those of ``paths`` that wait into their places. Cut off anywhere, it is finished by the next call."""
    for path, held in read_held(ledger).items():
        if path in paths:
            _owned.install(root, ledger, held.owner, held.file)
            _forget(ledger, path)


def changed_since(root: Root, ledger: Ledger, known: t.Mapping[str, str]) -> list[str]:
    """Those of ``known`` (digests by path) that neither wait with that content any more nor lie in their place."""
    waiting = digests(ledger)
    lying = {path: root.read_bytes(path) for path in known if waiting.get(path) != known[path]}
    return sorted(path for path, content in lying.items() if content is None or digest(content) != known[path])


@dataclasses.dataclass(frozen=True)
class RootAsKept(Root):
    """A root in which ``contents`` lie in their places."""

    contents: t.Mapping[str, bytes] = dataclasses.field(default_factory=dict)

    def exists(self, path: str) -> bool:
        return path in self.contents or super().exists(path)

    def read_bytes(self, path: str) -> bytes | None:
        return self.contents[path] if path in self.contents else super().read_bytes(path)

    def listdir(self, path: str) -> list[str]:
        ours = {os.path.basename(name) for name in self.contents if os.path.dirname(name) == path}
        return sorted(ours.union(super().listdir(path)))


def as_kept(root: Root, ledger: Ledger, paths: t.Collection[str] | None = None) -> tuple[Root, Ledger]:
    """Root and ledger as :func:`keep` would leave them, for reading; ``None`` for all that waits."""
    held = {path: found for path, found in read_held(ledger).items() if paths is None or path in paths}
    after = Ledger(ledger.to_json())
    for path, found in held.items():
        del after.section(SECTION)[path]
        content = base64.b64encode(found.file.content).decode("ascii")
        known = after.section("files").get(path, {"original": None})
        written = {"owner": found.owner, "written": digest(found.file.content), "content": content}
        after.section("files")[path] = {**known, **written}
    return RootAsKept(root.base, {path: found.file.content for path, found in held.items()}), after
