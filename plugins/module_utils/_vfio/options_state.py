# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about module options, BAR sizes and the host's display."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import read_kernel_log
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.directives import read_directives
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.module_info import (
    is_loaded,
    read_modules,
    running_value,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import (
    MODPROBE_PATH,
    OWNER,
    PARAMETERS,
    PATHS,
    VENDOR_RESET,
    modules_of,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resizable_bar import read_bars

_DEVICES = "/sys/bus/pci/devices"
_MESSAGE = re.compile(r"virtfleet-passthrough: (\S+) BAR (\d): (not resized: .*)")


def read_state(root: Root, run: Runner, ledger: Ledger, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``wanted`` as it was given and ``managed`` (whether anything was), for components that need to know; ``files``
    (path to SHA-256 or ``None``), ``modules`` (what each kernel knows, see :class:`ModuleInfo`), ``running`` (values
    by ``module.parameter``, of loaded modules), ``vendor_reset_loaded``, ``directives`` (lines of others in
    modprobe.d about these modules), ``bars`` (by address) and ``bar_messages`` (what this boot's script could not do).

    One process per kernel where options are wanted, one more where a BAR has another size than is wanted.
    """
    switches = [name for name in PARAMETERS if _is_on(wanted.get(name))]
    blacklist = bool(wanted) and _is_on(wanted.get("blacklist_i2c_nvidia_gpu", "auto"))
    names = modules_of(switches, blacklist, _is_on(wanted.get("vendor_reset")))
    paths = {*PATHS, *owned_paths(ledger, OWNER)}
    contents = {path: root.read_bytes(path) for path in sorted(paths)}
    return {
        "managed": bool(wanted),
        "wanted": dict(wanted),
        "files": {path: None if content is None else digest(content) for path, content in contents.items()},
        "modules": {
            kernel: {name: info.to_json() for name, info in found.items()}
            for kernel, found in read_modules(root, run, names, modules_of(switches)).items()
        },
        "running": _running(root),
        "vendor_reset_loaded": is_loaded(root, VENDOR_RESET),
        "directives": [
            directive.to_json()
            for directive in (read_directives(root) if names else ())
            if directive.module in names and directive.path != MODPROBE_PATH
        ],
        **_bars(root, run, bool(wanted.get("resizable_bars"))),
    }


def _is_on(value: t.Any) -> bool:
    """Whether an option may be meant to be on: what it means exactly is the decision's business."""
    return value is not None and str(value).strip().lower() not in ("false", "no", "off", "")


def _running(root: Root) -> dict[str, str]:
    found = {}
    for parameter in (parameter for parameters in PARAMETERS.values() for parameter in parameters):
        value = running_value(root, parameter.module, parameter.name)
        if value is not None:
            found[parameter.label] = value
    return found


def _bars(root: Root, run: Runner, asked: bool) -> dict[str, t.Any]:
    if not asked:
        return {"bars": {}, "bar_messages": {}}
    found = {address: read_bars(root, address) for address in root.listdir(_DEVICES)}
    messages = {
        f"{address} {number}": message.rstrip()
        for address, number, message in _MESSAGE.findall(read_kernel_log(root, run).text)
    }
    return {
        "bars": {
            address: {str(number): state.to_json() for number, state in bars.items()}
            for address, bars in found.items()
            if bars
        },
        "bar_messages": messages,
    }
