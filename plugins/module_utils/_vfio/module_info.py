# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What each installed kernel knows of a module, and what a loaded one was given."""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import (
    MODULES_DIRECTORY,
    installed_kernels,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.kernel_modules import needed_modules
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import module_name
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.modalias import running_release

MODULE = "module"
BUILTIN = "builtin"
MISSING = "missing"

SYS_MODULE = "/sys/module"
_MODINFO = ("/usr/sbin/modinfo", "/sbin/modinfo", "/usr/bin/modinfo")


@dataclasses.dataclass(frozen=True)
class ModuleInfo:
    """``kind`` is ``module``, ``builtin`` or ``missing``; ``parameters`` are names, ``None`` where nobody could say."""

    kind: str
    parameters: tuple[str, ...] | None

    def to_json(self) -> dict[str, t.Any]:
        return {"kind": self.kind, "parameters": None if self.parameters is None else list(self.parameters)}


def read_modules(
    root: Root, run: Runner, names: t.Collection[str], parameters_of: t.Collection[str]
) -> dict[str, dict[str, ModuleInfo]]:
    """Every installed kernel's modules of these names (with underscores), and the running kernel's. One process per
    kernel, none without ``parameters_of``, the modules whose parameters are asked for."""
    if not names:
        return {}
    kernels = sorted({*installed_kernels(root), running_release(root)})
    return {
        kernel: _of_kernel(root, run, kernel, names, parameters_of)
        for kernel in kernels
        if root.exists(f"{MODULES_DIRECTORY}/{kernel}")
    }


def _of_kernel(
    root: Root, run: Runner, kernel: str, names: t.Collection[str], parameters_of: t.Collection[str]
) -> dict[str, ModuleInfo]:
    needed = needed_modules(root, kernel, names)
    missing, loadable = set(needed.missing), set(needed.loadable)
    asked = set(parameters_of) - missing
    parameters = {
        **_builtin_parameters(root, kernel, asked - loadable),
        **_loadable_parameters(root, run, kernel, asked & loadable),
    }
    kinds = {name: MISSING if name in missing else MODULE if name in loadable else BUILTIN for name in names}
    return {name: ModuleInfo(kinds[name], () if name in missing else parameters.get(name)) for name in sorted(names)}


def _builtin_parameters(root: Root, kernel: str, names: t.Collection[str]) -> dict[str, tuple[str, ...]]:
    """From modules.builtin.modinfo: strings such as ``kvm.parm=ignore_msrs:bool`` with a zero byte after each."""
    text = root.read_text(f"{MODULES_DIRECTORY}/{kernel}/modules.builtin.modinfo") if names else None
    if text is None:
        return {}
    found: dict[str, list[str]] = {name: [] for name in names}
    for entry in text.split("\0"):
        key, _equals, value = entry.partition("=")
        module, _dot, kind = key.rpartition(".")
        if kind == "parm" and module_name(module) in found:
            found[module_name(module)].append(_parameter(value))
    return {name: tuple(sorted(parameters)) for name, parameters in found.items()}


def _loadable_parameters(root: Root, run: Runner, kernel: str, names: t.Collection[str]) -> dict[str, tuple[str, ...]]:
    if not names or not any(_is_there(root, path) for path in _MODINFO):
        return {}
    result = run(["modinfo", f"--set-version={kernel}", *sorted(names)])
    if result.rc != 0:
        return {}
    return parse_modinfo(result.stdout)


def _is_there(root: Root, path: str) -> bool:
    # Debian 12 has an absolute link here, which leads out of a tree that is not at "/".
    return root.exists(path) or root.link_name(path) is not None


def parse_modinfo(text: str) -> dict[str, tuple[str, ...]]:
    """Parameters by module, from what modinfo prints of several: each begins with the line ``filename``."""
    found: dict[str, list[str]] = {}
    current: list[str] = []
    for line in text.splitlines():
        field, _colon, value = line.partition(":")
        if field == "filename":
            current = found.setdefault(module_name(os.path.basename(value.strip()).split(".ko")[0]), [])
        elif field == "parm":
            current.append(_parameter(value.strip()))
    return {name: tuple(sorted(parameters)) for name, parameters in found.items()}


def _parameter(text: str) -> str:
    return module_name(text.partition(":")[0])


def running_value(root: Root, module: str, parameter: str) -> str | None:
    """What a loaded module goes by; ``None`` where it is not loaded or does not show it."""
    return root.read_word(f"{SYS_MODULE}/{module}/parameters/{parameter}")


def is_loaded(root: Root, module: str) -> bool:
    return root.exists(f"{SYS_MODULE}/{module}")
