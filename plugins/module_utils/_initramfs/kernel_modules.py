# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What ``depmod`` says about one kernel's modules: which are built in, which exist, and what each depends on."""

from __future__ import annotations

import dataclasses
import os
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
    dependencies = _dependencies(root.read_text(f"{directory}/modules.dep") or "")
    builtin = {_module_name(line) for line in (root.read_text(f"{directory}/modules.builtin") or "").splitlines()}
    loadable: set[str] = set()
    missing: set[str] = set()
    for name in {_normal(name) for name in names} - builtin:
        if name in dependencies:
            loadable |= {name, *dependencies[name]}
        else:
            missing.add(name)
    return NeededModules(tuple(sorted(loadable)), tuple(sorted(missing)))


def _dependencies(text: str) -> dict[str, tuple[str, ...]]:
    """modules.dep lists for every module all others that must be loaded before it, not only the next ones."""
    found = {}
    for line in text.splitlines():
        path, _colon, needed = line.partition(":")
        found[_module_name(path)] = tuple(_module_name(other) for other in needed.split())
    return found


def _module_name(path: str) -> str:
    return _normal(os.path.basename(path).split(".ko")[0])


def _normal(name: str) -> str:
    return name.replace("-", "_")
