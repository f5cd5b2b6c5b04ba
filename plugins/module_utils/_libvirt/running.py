# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Which domains run, by the files that libvirt's QEMU driver keeps meanwhile: no daemon has to be asked, or started.

Sources: ``virPidFileBuildPath`` and ``virDomainObjSave`` of libvirt, which write ``NAME.pid`` and ``NAME.xml`` below
the driver's state directory, and take them away when the domain ends.
"""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.document import parse_xml

_STATE: t.Final = "/run/libvirt/qemu"
_STATUS: t.Final = ".xml"


def domains_by_files(root: Root) -> list[dict[str, str | None]]:
    """``name`` and ``uuid`` of each, sorted by name. What a crash left counts no more once its process is gone."""
    names = (name[: -len(_STATUS)] for name in root.listdir(_STATE) if name.endswith(_STATUS))
    return [{"name": name, "uuid": _uuid(root, name)} for name in names if _runs(root, name)]


def _runs(root: Root, name: str) -> bool:
    pid = root.read_word(f"{_STATE}/{name}.pid")
    return pid is None or root.exists(f"/proc/{pid}")


def _uuid(root: Root, name: str) -> str | None:
    try:
        return parse_xml(root.read_text(f"{_STATE}/{name}{_STATUS}") or "").findtext("domain/uuid")
    except HostStateError:
        return None
