# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``depmod`` says about one kernel's modules: which are built in, which exist, and what each depends on."""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import MODULES_DIRECTORY


@dataclasses.dataclass(frozen=True)
class NeededModules:
    """``loadable`` must be in an image (dependencies included), ``missing`` the kernel has in no form.
    All with underscores, sorted."""

    loadable: tuple[str, ...]
    missing: tuple[str, ...]


def needed_modules(root: Root, kernel: str, names: t.Iterable[str]) -> NeededModules:
    """What an image for ``kernel`` must hold so that ``names`` can be loaded from it; built-in ones need nothing."""
    directory = f"{MODULES_DIRECTORY}/{kernel}"
    wanted = {_normal(name) for name in names}
    builtin = _lines_of(wanted, root.read_text(f"{directory}/modules.builtin") or "")
    dependencies = _lines_of(wanted, root.read_text(f"{directory}/modules.dep") or "")
    loadable: set[str] = set()
    for name in dependencies.keys() - builtin.keys():
        loadable |= {name, *dependencies[name]}
    missing = wanted - builtin.keys() - dependencies.keys()
    return NeededModules(tuple(sorted(loadable)), tuple(sorted(missing)))


def _lines_of(names: t.Collection[str], text: str) -> dict[str, tuple[str, ...]]:
    """The lines of ``names`` in modules.dep (or modules.builtin): name to everything that is loaded before it.

    The files have thousands of lines and one look at each costs more than all else here: one search does it.
    """
    if not names:
        return {}
    spellings = "|".join(sorted(re.escape(name).replace("_", "[-_]") for name in names))
    lines = re.finditer(rf"^(?:\S*/)?({spellings})\.ko(?:\.\w+)?(?::(.*))?$", text, re.MULTILINE)
    return {
        _normal(line.group(1)): tuple(_module_name(path) for path in (line.group(2) or "").split()) for line in lines
    }


def _module_name(path: str) -> str:
    return _normal(os.path.basename(path).split(".ko")[0])


def _normal(name: str) -> str:
    return name.replace("-", "_")
