# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The ledger: what this collection wrote on a host, what was there before, what bound devices were.

``/var/lib/virtfleet-passthrough/ledger.json``, root only, ``schema: 1``. Its sections are plain JSON
objects, each kept by the one part of the library that owns it:

========================  =====================================================================
``generation``            number of the boot generation, see ``_vfio/``
``files``                 path → owner, content written, original (``_owned.py``)
``directories``           directories that we made, deepest last (``_owned.py``)
``held_back``             path → owner, content and mode of a file that a commit puts there (``_held_back.py``)
``kernel_args``           owner → arguments in order (``_cmdline/``)
``kernel_line``           what may stand in boot entries at this moment (``_cmdline/block.py``)
``images``                image path → inputs and what was proven in it (``_initramfs/``)
``devices``               BDF address → identity, native driver, permanent MAC, names (``_pci/``), the boot in which
                          a method without a table was configured (``_vfio/binding.py``), and what its network
                          interfaces had when it was taken from the running host (``_vfio/network_return.py``)
``domains``               domain name → what we defined (``_libvirt/``)
``hugepages``             pool → pages before and after us, in which boot (``_hugepages/writer.py``)
``sriov``                 BDF address of a PF → identity, what is wanted of it, what was before us (``_sriov/``)
``trial``                 identifier of the boot on trial → what it consists of (``_boot/record.py``)
========================  =====================================================================
"""

from __future__ import annotations

import contextlib
import copy
import fcntl
import json
import os
import pathlib
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import LedgerDeniedError, LedgerError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import FileMeta, Root, remove, write_atomic

SCHEMA = 1
DIRECTORY = "/var/lib/virtfleet-passthrough"
LEDGER_PATH = f"{DIRECTORY}/ledger.json"
LOCK_PATH = "/run/virtfleet-passthrough.lock"

SECTIONS = (
    *("files", "directories", "held_back", "kernel_args", "kernel_line", "images", "devices"),
    *("domains", "hugepages", "sriov", "trial"),
)


class Ledger:
    """The ledger's content in memory. Change it only inside :func:`locked`, then :meth:`save`."""

    def __init__(self, data: dict[str, t.Any] | None = None, root: Root | None = None) -> None:
        self._root = root
        self._data: dict[str, t.Any] = data if data is not None else {"schema": SCHEMA}

    @classmethod
    def read(cls, root: Root) -> Ledger:
        """What is recorded now; an empty ledger where there is none."""
        try:
            data = json.loads(pathlib.Path(root.path(LEDGER_PATH)).read_text(encoding="utf-8"))
        except (FileNotFoundError, NotADirectoryError):
            return cls()
        except PermissionError as exc:
            # Taken for "nothing is ours", everything of ours would count as somebody else's.
            raise LedgerDeniedError(
                f"{LEDGER_PATH} cannot be read by this user. It tells what this collection wrote on the host, and "
                "reading it needs root: connect as root or set become: true"
            ) from exc
        except ValueError as exc:
            raise LedgerError(
                f"{LEDGER_PATH} is not readable as JSON ({exc}). It tells what this collection wrote on the host; "
                "restore it from a backup, or move it away to treat everything on the host as somebody else's."
            ) from exc
        return cls.from_json(data)

    @classmethod
    def from_json(cls, data: t.Any) -> Ledger:
        """Take a ledger that was read elsewhere (the plan gets it from the host)."""
        if not isinstance(data, dict) or not isinstance(data.get("schema"), int):
            raise LedgerError(f"{LEDGER_PATH} has no schema number: it was not written by this collection")
        if data["schema"] > SCHEMA:
            raise LedgerError(
                f"{LEDGER_PATH} has schema {data['schema']}, this version of virtfleet.passthrough knows {SCHEMA}: "
                "use the newer collection version that wrote it"
            )
        return cls(data)

    def to_json(self) -> dict[str, t.Any]:
        return copy.deepcopy(self._data)

    @property
    def generation(self) -> int:
        """0 until something that acts during boot was written."""
        return int(self._data.get("generation", 0))

    @generation.setter
    def generation(self, number: int) -> None:
        self._data["generation"] = number

    def section(self, name: str) -> dict[str, t.Any]:
        """One section, to read and (under the lock) to change."""
        if name not in SECTIONS:
            raise LedgerError(f"the ledger has no section '{name}'")
        section: dict[str, t.Any] = self._data.setdefault(name, {})
        return section

    def summary(self) -> dict[str, list[str]]:
        """Section to the names of what is ours there; sections that hold nothing are left out.

        ``kernel_line`` only repeats ``kernel_args``; it counts where a run that was cut off left it alone.
        """
        named = [name for name in SECTIONS if self._data.get(name)]
        if "kernel_args" in named and "kernel_line" in named:
            named.remove("kernel_line")
        return {name: sorted(self._data[name]) for name in named}

    def _holds_nothing(self) -> bool:
        return not any(self._data.get(name) for name in SECTIONS)

    def save(self) -> None:
        """Write the ledger durably; one that holds nothing disappears together with its directory."""
        if self._root is None:
            raise LedgerError("the ledger was opened for reading only")
        path = self._root.path(LEDGER_PATH)
        if self._holds_nothing():
            remove(path)
            with contextlib.suppress(OSError):
                os.rmdir(os.path.dirname(path))
            return
        # What was only looked into is not written, so that a run that fails leaves the file byte for byte as it was.
        data = {name: content for name, content in self._data.items() if content or name not in SECTIONS}
        text = json.dumps(data, indent=1, sort_keys=True) + "\n"
        write_atomic(path, text.encode(), FileMeta(mode=0o600))


@contextlib.contextmanager
def locked(root: Root, check_mode: bool = False) -> t.Iterator[Ledger]:
    """Hold the ledger's lock and give its present content; every writer works inside this.

    Check mode takes no lock, because the lock file would be a trace, and gives a ledger that refuses to be saved.
    """
    if check_mode:
        yield Ledger.read(root)
        return
    lock_path = root.path(LOCK_PATH)
    os.makedirs(os.path.dirname(lock_path), exist_ok=True)
    descriptor = os.open(lock_path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield Ledger(Ledger.read(root).to_json(), root)
    finally:
        os.close(descriptor)
