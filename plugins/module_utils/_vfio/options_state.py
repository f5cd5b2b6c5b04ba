# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The part of the one read that is about module options, BAR sizes and the host's display."""

from __future__ import annotations

import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot_log import read_kernel_log
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.state import running_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import parse, read_directives, same_value
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest, owned_paths
from ansible_collections.virtfleet.passthrough.plugins.module_utils._this_boot import (
    changed_since_boot,
    image_changed_since_boot,
    taken_back,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.module_info import (
    is_loaded,
    read_modules,
    running_value,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import (
    MODPROBE_PATH,
    MODULES_LOAD_PATH,
    OWNER,
    PARAMETERS,
    PATHS,
    RULE_PATH,
    VENDOR_RESET,
    Options,
    files,
    modules_of,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resizable_bar import read_bars

_DEVICES = "/sys/bus/pci/devices"
_MESSAGE = re.compile(r"virtfleet-passthrough: (\S+) BAR (\d): (not resized: .*)")


def read_state(root: Root, run: Runner, ledger: Ledger, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    """``wanted`` as it was given and ``managed`` (whether anything was), for components that need to know; ``files``
    (path to SHA-256 or ``None``), ``modules`` (what each kernel knows, see :class:`ModuleInfo`), ``running`` (values
    by ``module.parameter``, of loaded modules), ``vendor_reset_loaded``, ``directives`` (lines of others in
    modprobe.d about these modules), ``since_boot`` (those of the files that are newer than this boot),
    ``image_since_boot`` (whether the running kernel's image is), ``taken_back`` (see :func:`what_stays`),
    ``bars`` (by address) and ``bar_messages`` (what this boot's script could not do).

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
        "since_boot": changed_since_boot(root, paths),
        "image_since_boot": image_changed_since_boot(root, ledger),
        "taken_back": taken_back(root, OWNER),
        **_bars(root, run, bool(wanted.get("resizable_bars"))),
    }


def what_stays(root: Root, ledger: Ledger, wanted: Options) -> dict[str, str | None]:
    """What is configured and not ``wanted`` any more, or was taken back earlier in this boot: labels of parameters
    with the values that were set, and paths. To be noted until the next boot; :func:`still_in_effect` tells what of
    it this boot has."""
    found: dict[str, str | None] = taken_back(root, OWNER)
    ours = owned_paths(ledger, OWNER)
    if MODPROBE_PATH in ours:
        for directive in parse(root.read_text(MODPROBE_PATH) or "", MODPROBE_PATH):
            found.update({f"{directive.module}.{name}": value for name, value in directive.parameters.items()})
    # A file that was not there when the boot began did nothing in it.
    acting = [path for path in (MODULES_LOAD_PATH, RULE_PATH) if path in ours]
    later = set(changed_since_boot(root, acting))
    if not set(arguments(files(Options(vendor_reset=True)))).isdisjoint(running_arguments(root)):
        # A boot on trial, which had the same from its command line.
        later.discard(MODULES_LOAD_PATH)
    found.update(dict.fromkeys(set(acting) - later))
    kept = {*(parameter.label for parameter in wanted.parameters), *(file.path for file in files(wanted))}
    return {name: value for name, value in found.items() if name not in kept}


def still_in_effect(facts: t.Mapping[str, t.Any], wanted: Options) -> list[str]:
    """Those of ``taken_back`` in what :func:`read_state` gives that act until the next boot."""
    kept = {*(parameter.label for parameter in wanted.parameters), *(file.path for file in files(wanted))}
    return [
        name
        for name, value in facts["taken_back"].items()
        if name not in kept
        and (
            name == RULE_PATH
            or (name == MODULES_LOAD_PATH and facts["vendor_reset_loaded"])
            or (name in facts["running"] and same_value(facts["running"][name], value))
        )
    ]


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
