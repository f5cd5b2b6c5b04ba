# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``kernel_arguments``: what an operator asks of the kernel besides what other components need. Pure."""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.detection import AUTO
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.parameters import conflicts
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import Token, check_argument, key
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.console import displays_kept
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.arguments import judge_arguments
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Refusal, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_bool, as_list

NAME = "kernel_arguments"

# The boot loader is an option of the one read and of every writer, and none of ``wanted``. The options of ``wanted``
# have no default: where none is defined, the component is unmanaged.
DEFAULTS: t.Final[t.Mapping[str, t.Any]] = {"bootloader": AUTO}

OPTIONS = ("extra", "pci_realloc", "tsc", "framebuffer_off", "blacklist", "debug")
TSC = ("auto", "always", "never")

_TSC_ARGUMENTS = ("clocksource=tsc", "tsc=reliable")
_DEBUG_ARGUMENTS = ("debug", "ignore_loglevel")

# efifb asks fb_get_options() and stays away (drivers/video/fbdev/efifb.c). vesafb ignores the answer, and the drivers
# of DRM (simpledrm, efidrm, vesadrm) do not ask: those are left without a device (drivers/firmware/sysfb.c).
_EFIFB_OFF = "video=efifb:off"
_SYSFB_OFF = "initcall_blacklist=sysfb_init"
_EFIFB = "efi-framebuffer"
# How the firmware's framebuffer is named in /proc/fb by what draws on it.
_FIRMWARE_FRAMEBUFFER = re.compile(r"EFI VGA|VESA VGA|simple|(simple|efi|vesa)drm(drmfb)?")

# The number of the held devices' table, and what marks a boot on trial.
_OURS = "virtfleet_passthrough."
_BLACKLIST = "modprobe.blacklist"
_MODULE_NAME = re.compile(r"[A-Za-z0-9_-]+")
_MANAGED_PARAMETERS = ("pci", "clocksource", "tsc", "video", "initcall_blacklist", _BLACKLIST, *_DEBUG_ARGUMENTS)


@dataclasses.dataclass(frozen=True)
class _Wanted:
    """The options of ``wanted``, checked and with what holds where one is left out."""

    extra: tuple[str, ...]
    pci_realloc: bool
    tsc: str
    framebuffer_off: bool
    blacklist: tuple[str, ...]
    debug: bool

    @classmethod
    def parse(cls, wanted: t.Mapping[str, t.Any]) -> _Wanted:
        unknown = sorted(set(wanted) - set(OPTIONS))
        if unknown:
            raise InputError(f"{NAME}: unknown key {unknown[0]}; expected {', '.join(OPTIONS)}")
        given = {name: value for name, value in wanted.items() if value is not None}
        tsc = str(given.get("tsc", "never"))
        if tsc not in TSC:
            raise InputError(f"{NAME}_tsc is '{tsc}': expected one of {', '.join(TSC)}")
        realloc = as_bool(given.get("pci_realloc", False), f"{NAME}_pci_realloc")
        return cls(
            extra=_extra(given.get("extra", []), realloc),
            pci_realloc=realloc,
            tsc=tsc,
            framebuffer_off=as_bool(given.get("framebuffer_off", False), f"{NAME}_framebuffer_off"),
            blacklist=tuple(_module(name) for name in as_list(given.get("blacklist", []), f"{NAME}_blacklist")),
            debug=as_bool(given.get("debug", False), f"{NAME}_debug"),
        )


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``extra`` (arguments in their order), ``pci_realloc``, ``tsc`` (one of :data:`TSC`),
    ``framebuffer_off``, ``blacklist`` (names of modules) and ``debug``. One that is left out is off. ``apply`` has
    ``kernel_args``.

    Raises :class:`InputError` for a value that cannot be meant.
    """
    options = _Wanted.parse(wanted)
    facts = host.facts[NAME]
    arguments = _consistent(
        [
            *options.extra,
            *(_TSC_ARGUMENTS if _wants_tsc(options.tsc, host, facts) else ()),
            *([_framebuffer_argument(host, facts)] if options.framebuffer_off else ()),
            *([f"{_BLACKLIST}={','.join(options.blacklist)}"] if options.blacklist else ()),
            *(_DEBUG_ARGUMENTS if options.debug else ()),
        ]
    )
    judged = judge_arguments(host, NAME, arguments, _MANAGED_PARAMETERS)
    refusals = (
        *judged.refusals,
        *_clock_refusals(arguments, facts),
        *_needed(options.blacklist, host, selected),
        *_used(facts),
    )
    return Verdict(
        changes=judged.changes,
        refusals=refusals,
        warnings=(
            *_clock_warnings(options.tsc, facts),
            *(_framebuffer_warnings(host, facts) if options.framebuffer_off else ()),
            *(_realloc_warnings(host, facts) if options.pci_realloc else ()),
            *(f"{name} is built into the kernel, and {_BLACKLIST} keeps modules only" for name in facts["builtin"]),
        ),
        pending_reboot=judged.pending_reboot,
        apply={"kernel_args": arguments},
    )


def _extra(value: t.Any, realloc: bool) -> tuple[str, ...]:
    """The operator's arguments; ``realloc`` joins the last ``pci=`` of them, or comes as one of its own.

    Beside a ``pci=`` of somebody else it is a token of its own too: pci_setup in drivers/pci/pci.c is called for each.
    """
    arguments: list[str] = []
    for argument in as_list(value, f"{NAME}_extra"):
        if not isinstance(argument, str):
            raise InputError(f"{NAME}_extra has {argument!r}: expected kernel arguments, each a string")
        if key(argument).startswith(_OURS):
            raise InputError(f"{NAME}_extra has '{argument}': such arguments are given by this collection alone")
        arguments.append(check_argument(argument))
    if not realloc:
        return tuple(arguments)
    places = [place for place, argument in enumerate(arguments) if key(argument) == "pci"]
    if not places:
        return (*arguments, "pci=realloc")
    words = [word for place in places for word in (Token(arguments[place]).value or "").split(",")]
    if "realloc=off" in words:
        raise InputError(f"{NAME}_extra has 'pci=realloc=off', and {NAME}_pci_realloc is true: take one of them away")
    if "realloc" not in words and "realloc=on" not in words:
        arguments[places[-1]] += ",realloc"
    return tuple(arguments)


def _module(name: t.Any) -> str:
    if not isinstance(name, str) or not _MODULE_NAME.fullmatch(name):
        raise InputError(f"{NAME}_blacklist has {name!r}: expected names of kernel modules, such as nouveau")
    return name


def _consistent(arguments: list[str]) -> list[str]:
    for place, argument in enumerate(arguments):
        for other, token in conflicts(arguments[:place], [argument]):
            raise InputError(f"{NAME}: '{token}' contradicts '{other}', which is wanted as well: take one of them away")
    return arguments


def _owned(host: HostState) -> list[str]:
    return list(host.ledger.section("kernel_args").get(NAME, []))


def _wants_tsc(mode: str, host: HostState, facts: t.Mapping[str, t.Any]) -> bool:
    """With ``auto`` what was written stays: the clock that it was written for is gone because of it."""
    if mode != "auto":
        return mode == "always"
    slow = facts["clocksource"] == "hpet" and "tsc" in facts["clocksources"] and facts["stable_tsc"]
    return slow or _TSC_ARGUMENTS[0] in _owned(host)


def _clock_refusals(arguments: t.Sequence[str], facts: t.Mapping[str, t.Any]) -> t.Iterator[Refusal]:
    if _TSC_ARGUMENTS[1] in arguments and not facts["stable_tsc"]:
        yield Refusal(
            None,
            f"'{_TSC_ARGUMENTS[1]}' makes the kernel trust a clock that this CPU does not promise to be steady (no "
            "constant_tsc and nonstop_tsc in /proc/cpuinfo): time would drift or jump",
        )


def _clock_warnings(mode: str, facts: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    if mode == "auto" and facts["clocksource"] == "hpet" and "tsc" not in facts["clocksources"]:
        yield (
            "the clock source is hpet, which is slow, and the kernel does not offer tsc (journalctl -k -b "
            f"| grep -i tsc). {NAME}_tsc: always would force it"
        )


def _framebuffer_argument(host: HostState, facts: t.Mapping[str, t.Any]) -> str:
    owned = _owned(host)
    # What was written stays until it proves useless: a driver that has no device is not loaded either.
    if _SYSFB_OFF in owned or (_EFIFB_OFF in host.boot["running"] and _firmware_framebuffers(facts)):
        return _SYSFB_OFF
    asks = facts["efi"] and facts["framebuffer_drivers"] == [_EFIFB]
    by_drm = any("drm" in name for name in _firmware_framebuffers(facts))
    return _EFIFB_OFF if _EFIFB_OFF in owned or (asks and not by_drm) else _SYSFB_OFF


def _firmware_framebuffers(facts: t.Mapping[str, t.Any]) -> list[str]:
    return [name for name in facts["framebuffers"] if _FIRMWARE_FRAMEBUFFER.fullmatch(name)]


def _framebuffer_warnings(host: HostState, facts: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    others = [name for name in facts["consoles"] if not re.fullmatch(r"tty\d*", name)]
    seen = f"through {' and '.join(others)} only" if others else "nowhere, because the kernel has no serial console"
    yield (
        "without the firmware's framebuffer a screen stays dark until the driver of its own card has loaded, and for "
        f"ever where a guest has the card: a boot that fails before is seen {seen}. X servers that are set to fbdev or "
        "vesa do not start"
    )
    if {_EFIFB_OFF, _SYSFB_OFF} & set(host.boot["running"]):
        for name in _firmware_framebuffers(facts):
            yield f"the firmware's framebuffer is in use ('{name}' in /proc/fb) although this boot was told to leave it"


def _realloc_warnings(host: HostState, facts: t.Mapping[str, t.Any]) -> t.Iterator[str]:
    running = any(key(token) == "pci" and "realloc" in token for token in host.boot["running"])
    if not facts["without_room"] and not running:
        yield f"{NAME}_pci_realloc is set, and every BAR of this host has its address: it can go"


def _needed(
    names: t.Sequence[str], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]
) -> t.Iterator[Refusal]:
    """Modules that the host needs for itself, or for what it gives away."""
    modules = {_plain(name): name for name in names}
    given = {device.address for functions in selected.values() for device in functions}
    for module, name in modules.items():
        if module.startswith("vfio") and (given or host.ledger.section("devices")):
            yield Refusal(None, f"'{name}' in {NAME}_blacklist: devices that are given away are held by it")
    by_address = {str(device.address): device for device in host.devices if device.address not in given}
    kept = displays_kept(host.devices, given)
    reasons = {str(device.address): "is a display of this host, and none would be left" for device in kept}
    if not all(_drivers(device) & set(modules) for device in kept):
        reasons = {}
    reasons.update({dependency.address: dependency.detail for dependency in host.dependencies})
    for address, detail in reasons.items():
        device = by_address.get(address)
        for module in sorted(_drivers(device) & set(modules)) if device is not None else ():
            reason = f"'{modules[module]}' in {NAME}_blacklist drives {address}, which {detail}"
            yield Refusal(address, reason)


def _used(facts: t.Mapping[str, t.Any]) -> t.Iterator[Refusal]:
    for name in facts["storage_in_use"]:
        yield Refusal(
            None,
            f"'{name}' in {NAME}_blacklist: storage of this host uses it now, and a boot without it may not find its "
            "disks. Unmount what needs it first, if that can be spared",
        )


def _drivers(device: Device) -> set[str]:
    """The modules without which a function would stop working, as far as it tells."""
    drivers = {_plain(name) for name in (device.driver, device.native_driver) if name is not None}
    candidates = {_plain(name) for name in device.candidate_modules}
    # A driver may be of another name than its module: xhci_hcd comes with xhci_pci.
    return drivers if drivers & candidates else drivers | candidates


def _plain(name: str) -> str:
    return name.replace("-", "_")
