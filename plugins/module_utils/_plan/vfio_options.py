# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``vfio_options``: options of modules, BAR sizes and the host's display beside passthrough. Pure."""

from __future__ import annotations

import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.parameters import conflicts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import kernel_version
from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import same_value
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile, digest, obstacle
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.foreign import foreign_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.held_back import outlasting, wait_for_nothing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.images import boots_without
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.selectors import select
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_bool, as_list, as_mapping
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio import resizable_bar
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options import (
    MODPROBE_PATH,
    MODULES_LOAD_PATH,
    OWNER,
    PARAMETERS,
    RULE_PATH,
    Options,
    Parameter,
    files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options_guard import builtin_arguments, judge
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.options_state import still_in_effect
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resizable_bar import WantedBar
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.xorg import HostGpu, parse_driver

NAME = "vfio_options"
AUTO = "auto"

# None is "not set": nothing is written for it, the kernel's own default stays.
DEFAULTS: t.Final[t.Mapping[str, t.Any]] = {
    **dict.fromkeys(PARAMETERS),
    "blacklist_i2c_nvidia_gpu": AUTO,
    "vendor_reset": None,
    "kernel_has_amd_reset_patch": None,
    "resizable_bars": None,
    "xorg_host_gpu": None,
}

_NVIDIA = "10de"
_AMD = "1002"
_DISPLAY = "03"
_USB = "0c03"
_DEVICE_SPECIFIC = "device_specific"
_BAR_KEYS = frozenset({"device", "bar", "size"})
_GPU_KEYS = frozenset({"address", "match", "driver"})


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: the keys of :data:`DEFAULTS`. ``apply``: the module's options with devices resolved to addresses,
    and ``kernel_args`` for what is built into a kernel."""
    options, refusals = _options(wanted, host, selected)
    facts = host.facts[NAME]
    findings = judge(
        options,
        facts,
        host.kernel_release,
        host.iommu["interrupt_remapping"],
        _switch(wanted, "kernel_has_amd_reset_patch"),
    )
    refusals += [Refusal(device, reason) for device, reason in findings.refusals]
    arguments = builtin_arguments(options, facts["modules"])
    judged = judge_arguments(host, OWNER, arguments)
    refusals += _command_line_conflicts(host, options, arguments)
    waiting = frozenset(_waiting(options, facts))
    changes, blocked = _file_changes(host, options, waiting)
    refusals += blocked
    all_changes = (*changes, *judged.changes)
    failed = {} if all_changes else _not_brought(host, options, waiting)
    refusals += [Refusal(None, reason) for reason in failed.values()]
    waits = bool(waiting - set(failed)) or bool(still_in_effect(facts, options))
    return Verdict(
        changes=all_changes,
        refusals=tuple(dict.fromkeys((*refusals, *judged.refusals))),
        warnings=(*findings.warnings, *_advice(options, host, selected)),
        pending_reboot=not all_changes and (judged.pending_reboot or waits),
        apply={**_for_module(options, wanted), "kernel_args": arguments},
        outlasts=outlasting(host, OWNER, facts["files"], files(options)),
    )


def target_files(host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> dict[str, str]:
    """SHA-256 of every file of this component as it is to be, by path; as they are where nothing is managed."""
    facts = host.facts[NAME]
    if not facts["managed"]:
        owned = _owned_here(host)
        return {path: sha256 for path, sha256 in facts["files"].items() if path in owned and sha256 is not None}
    options, _refusals = _options(facts["wanted"], host, selected)
    return _digests(options)


def _digests(options: Options) -> dict[str, str]:
    return {file.path: digest(file.content) for file in files(options)}


def _owned_here(host: HostState) -> set[str]:
    return {path for path, record in host.ledger.section("files").items() if record["owner"] == OWNER}


def _switch(wanted: t.Mapping[str, t.Any], name: str) -> bool:
    value = wanted.get(name)
    return value is not None and as_bool(value, f"vfio_{name}")


def _options(
    wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]
) -> tuple[Options, list[Refusal]]:
    unknown = sorted(set(wanted) - set(DEFAULTS))
    if unknown:
        raise InputError(f"vfio_options: unknown key {unknown[0]}; expected {', '.join(sorted(DEFAULTS))}")
    bars, refusals = _bars(wanted.get("resizable_bars"), host, selected)
    host_gpu, refused = _host_gpu(wanted.get("xorg_host_gpu"), host, selected)
    options = Options(
        switches=tuple(name for name in PARAMETERS if _switch(wanted, name)),
        blacklist=_blacklists(wanted.get("blacklist_i2c_nvidia_gpu"), host, selected),
        vendor_reset=_switch(wanted, "vendor_reset"),
        bars=tuple(bars),
        host_gpu=host_gpu,
    )
    return options, [*refusals, *refused]


def _blacklists(value: t.Any, host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> bool:
    if value is not None and value != AUTO:
        return as_bool(value, "vfio_blacklist_i2c_nvidia_gpu")
    slots = {device.address.slot for device in _chosen(selected) if device.identity.vendor_id == _NVIDIA}
    return any(
        device.address.slot in slots and device.class_code == _USB and device.identity.vendor_id == _NVIDIA
        for device in host.devices
    )


def _chosen(selected: t.Mapping[str, tuple[Device, ...]]) -> t.Iterator[Device]:
    return (device for name in selected for device in selected[name])


def _bars(
    value: t.Any, host: HostState, selected: t.Mapping[str, tuple[Device, ...]]
) -> tuple[list[WantedBar], list[Refusal]]:
    bars: list[WantedBar] = []
    refusals: list[Refusal] = []
    for entry in as_list(value or [], "vfio_resizable_bars"):
        name, number, bit = _bar_entry(entry)
        functions = selected[name]
        # Without an answer from the kernel the guard says what is wrong, of the first function.
        having = [one for one in functions if str(number) in host.facts[NAME]["bars"].get(str(one.address), {})]
        if not having and kernel_version(host.kernel_release) >= resizable_bar.SINCE:
            refusals.append(Refusal(str(functions[0].address), f"no function of '{name}' has a resizable BAR {number}"))
            continue
        bars += [WantedBar(one.address, one.identity, number, bit) for one in having or functions[:1]]
    places = [(region.address, region.number) for region in bars]
    twice = next((region for region in bars if places.count((region.address, region.number)) > 1), None)
    if twice is not None:
        refusals.append(Refusal(str(twice.address), f"vfio_resizable_bars names {twice} twice"))
    return bars, refusals


def _bar_entry(entry: t.Any) -> tuple[str, int, int]:
    option = "vfio_resizable_bars: an entry"
    given = as_mapping(entry, option)
    if set(given) != _BAR_KEYS:
        raise InputError(f"{option} has the keys {', '.join(sorted(given))}: expected {', '.join(sorted(_BAR_KEYS))}")
    return (
        str(given["device"]),
        resizable_bar.parse_bar(given["bar"], "vfio_resizable_bars: bar"),
        resizable_bar.parse_size(given["size"], "vfio_resizable_bars: size"),
    )


def _host_gpu(
    value: t.Any, host: HostState, selected: t.Mapping[str, tuple[Device, ...]]
) -> tuple[HostGpu | None, list[Refusal]]:
    option = "vfio_xorg_host_gpu"
    if value is None or value == {}:
        return None, []
    given = as_mapping(value, option)
    if set(given) - _GPU_KEYS or ("address" in given) == ("match" in given):
        raise InputError(f"{option} has the keys {', '.join(sorted(given))}: expected address or match, and driver")
    match = {"address": given["address"]} if "address" in given else given["match"]
    driver = parse_driver(given.get("driver"), f"{option}: driver")
    found, refusals = select([{"name": option, "match": match}], host.devices)
    if refusals:
        return None, list(refusals)
    (gpu,) = found[option]
    address = str(gpu.address)
    if not gpu.class_code.startswith(_DISPLAY):
        return None, [Refusal(address, f"{option}: {address} is no display device (class {gpu.class_code})")]
    if gpu.address in {device.address for device in _chosen(selected)}:
        return None, [Refusal(address, f"{option}: {address} is for guests, the host cannot show anything on it")]
    return HostGpu(gpu.address, driver), []


def _command_line_conflicts(host: HostState, options: Options, arguments: t.Sequence[str]) -> t.Iterator[Refusal]:
    """modprobe takes ``module.parameter=`` from the kernel's command line too; what we put there is judged already."""
    ours = [parameter.argument for parameter in options.parameters if parameter.argument not in arguments]
    found = (pair for _title, line in foreign_arguments(host, ours) for pair in conflicts(line, ours))
    for theirs, own in dict.fromkeys(found):
        yield Refusal(None, f"'{own}' contradicts '{theirs}', which somebody else put on the command line")


def _file_changes(host: HostState, options: Options, waiting: t.Collection[str]) -> tuple[list[Change], list[Refusal]]:
    facts = host.facts[NAME]
    records = host.ledger.section("files")
    wanted = {file.path: file for file in files(options)}
    changes: list[Change] = []
    refusals: list[Refusal] = []
    for path, present in sorted(facts["files"].items()):
        file = wanted.get(path)
        if file is None:
            if path in records:
                still = path == MODPROBE_PATH and bool(_running_as_ours(options, facts))
                why = "no option asks for it any more"
                changes.append(Change(f"file {path}", "as it is", None, after_reboot=still, why=why))
        elif present != digest(file.content):
            why_not = None if present is None else obstacle(path, present, records.get(path))
            if why_not is not None:
                refusals.append(Refusal(None, why_not))
            before = None if present is None else "as it is"
            changes.append(Change(f"file {path}", before, _in_words(file), after_reboot=path in waiting))
        elif path not in records:
            changes.append(Change(f"file {path}", "somebody else's", "ours, with the same content"))
    changes += wait_for_nothing(host, OWNER, facts["files"], _digests(options))
    return changes, refusals


def _in_words(file: OwnedFile) -> str:
    lines = [line for line in file.content.decode().splitlines() if not line.startswith("#")]
    return "; ".join(lines) if file.path in (MODPROBE_PATH, MODULES_LOAD_PATH) else "as generated"


def _running_as_ours(options: Options, facts: t.Mapping[str, t.Any]) -> list[str]:
    """Parameters that are not wanted and run as this component would have set them."""
    return [
        parameter.label
        for switch, parameters in PARAMETERS.items()
        for parameter in parameters
        if switch not in options.switches
        and parameter.label in facts["running"]
        and same_value(facts["running"][parameter.label], parameter.value)
    ]


def _differing(options: Options, facts: t.Mapping[str, t.Any]) -> list[Parameter]:
    return [
        parameter
        for parameter in options.parameters
        if parameter.label in facts["running"] and not same_value(facts["running"][parameter.label], parameter.value)
    ]


def _waiting(options: Options, facts: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    """The files whose content does not run yet. A module that is not loaded takes its options when it is."""
    if _differing(options, facts):
        yield MODPROBE_PATH
    if options.vendor_reset and not facts["vendor_reset_loaded"]:
        yield MODULES_LOAD_PATH
    for region in options.bars:
        state = facts["bars"].get(str(region.address), {}).get(str(region.number))
        if state is not None and state["size"] != region.size:
            yield RULE_PATH


def _not_brought(host: HostState, options: Options, waiting: t.Collection[str]) -> dict[str, str]:
    """By file, why another boot would not bring what it asks for: this one was made with it. BAR sizes are left to
    the guard, which has the message of the script."""
    facts = host.facts[NAME]
    found: dict[str, str] = {}
    if MODULES_LOAD_PATH in waiting and MODULES_LOAD_PATH not in facts["since_boot"]:
        found[MODULES_LOAD_PATH] = (
            f"vendor_reset: this boot was made with {MODULES_LOAD_PATH} and the module is not loaded, and another boot "
            "would do the same. Its build may be missing or fail: dkms status, journalctl -b -u systemd-modules-load"
        )
    early = {path: sha256 for path, sha256 in _digests(options).items() if path == MODPROBE_PATH}
    if MODPROBE_PATH in waiting and not (
        MODPROBE_PATH in facts["since_boot"] or facts["image_since_boot"] or boots_without(host, early)
    ):
        differing = ", ".join(
            f"{parameter.label} is {facts['running'][parameter.label]} instead of {parameter.value}"
            for parameter in _differing(options, facts)
        )
        found[MODPROBE_PATH] = (
            f"{differing} although this boot was made with {MODPROBE_PATH}, and another boot would do the same. "
            "Either it was changed after the start (write the value into /sys/module/…/parameters, or reboot by hand), "
            "or something loads the module past modprobe.d"
        )
    return found


def _advice(options: Options, host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> t.Iterator[str]:
    for device in _chosen(selected):
        if device.identity.vendor_id != _AMD or not device.class_code.startswith(_DISPLAY):
            continue
        if options.vendor_reset and device.reset_methods and device.reset_methods[0] != _DEVICE_SPECIFIC:
            # drivers/pci/pci.c, reset_method_store: since Linux 5.15 the administrator's order counts.
            yield (
                f"{device.address} is reset by {device.reset_methods[0]}: vendor-reset acts only where "
                f"{_DEVICE_SPECIFIC} comes first in its reset_method"
            )
        if device.held_for_guests and any(other.driver == "amdgpu" for other in host.devices):
            yield (
                f"{device.address} is for guests and amdgpu is loaded for another card: it may limit the frequency of "
                "both (ATIF). Where the guest's card stays slow, keep amdgpu from being loaded"
            )


def _for_module(options: Options, wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    return {
        **{name: name in options.switches for name in PARAMETERS},
        "blacklist_i2c_nvidia_gpu": options.blacklist,
        "vendor_reset": options.vendor_reset,
        "kernel_has_amd_reset_patch": _switch(wanted, "kernel_has_amd_reset_patch"),
        "resizable_bars": [
            {"address": str(region.address), "bar": region.number, "size": resizable_bar.format_bit(region.bit)}
            for region in options.bars
        ],
        "xorg_host_gpu": None
        if options.host_gpu is None
        else {"address": str(options.host_gpu.address), "driver": options.host_gpu.driver},
    }
