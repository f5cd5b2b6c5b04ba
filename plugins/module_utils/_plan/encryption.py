# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What stands against changing how a host with an encrypted root file system boots. Pure.

Rules of the whole host, so their keys are the host's (``plan_allow``) and no device's.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.encryption import console_module
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import BASE_CLASS_DISPLAY, Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import HostState, Refusal, Verdict
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.values import as_list

ALLOW_SEALED = "tpm_sealed_root"
ALLOW_CONSOLE = "encrypted_root_console"
HOST_KEYS = frozenset({ALLOW_SEALED, ALLOW_CONSOLE})

_NO_ENCRYPTION: t.Final[t.Mapping[str, str | None]] = {"encrypted": None, "sealed": None}

# How settings that a boot measures begin, in the words of the components.
_MEASURED = ("kernel arguments of ", "configuration of ", "image ")
# Since Linux 6.0 vfio-pci takes the firmware's framebuffer away at once (drivers/video/aperture.c).
_FRAMEBUFFER_GOES = (6, 0)


def host_keys(value: t.Any, option: str = "plan_allow") -> tuple[str, ...]:
    """The keys of one host, none for ``None``. Raises :class:`InputError` for one that permits nothing anywhere."""
    keys = [] if value is None else [str(key) for key in as_list(value, option)]
    for key in keys:
        if key not in HOST_KEYS:
            raise InputError(f"{option} has no key '{key}': expected any of {', '.join(sorted(HOST_KEYS))}")
    return tuple(keys)


def guard(
    verdicts: t.Mapping[str, Verdict],
    host: HostState,
    selected: t.Mapping[str, tuple[Device, ...]],
    allow: t.Collection[str],
) -> dict[str, Verdict]:
    """``verdicts`` with what encryption has against them."""
    encryption = {**_NO_ENCRYPTION, **host.encryption}
    guarded = dict(verdicts)
    if encryption["sealed"] is not None and ALLOW_SEALED not in allow:
        for name, verdict in verdicts.items():
            if any(change.setting.startswith(_MEASURED) for change in verdict.changes):
                guarded[name] = _refused(verdict, _sealed(encryption["sealed"]))
    # A host that runs like this already is not told again in every audit.
    changes = any(verdicts[name].changes for name in ("vfio", "initramfs") if name in verdicts)
    if encryption["encrypted"] is not None and ALLOW_CONSOLE not in allow and changes and "initramfs" in verdicts:
        reason = _dark_console(host, selected, encryption["encrypted"])
        if reason is not None:
            guarded["initramfs"] = _refused(guarded["initramfs"], reason)
    return guarded


def _refused(verdict: Verdict, refusal: Refusal) -> Verdict:
    return dataclasses.replace(verdict, refusals=(*verdict.refusals, refusal))


def _sealed(evidence: str) -> Refusal:
    reason = (
        f"the root file system is unlocked by measurements of what is about to change ({evidence}): after the next "
        "boot it would stay locked. Enrol a passphrase or recovery key first and seal it anew afterwards"
    )
    return Refusal(None, reason, ALLOW_SEALED)


def _dark_console(host: HostState, selected: t.Mapping[str, tuple[Device, ...]], evidence: str) -> Refusal | None:
    """A held display takes the firmware's framebuffer along; the prompt is then on nothing until the driver of
    another display is loaded."""
    chosen = {device.address for devices in selected.values() for device in devices}
    displays = [device for device in host.devices if device.class_code.startswith(BASE_CLASS_DISPLAY)]
    given = [device for device in displays if device.address in chosen]
    drivers = sorted({device.driver for device in displays if device.address not in chosen and device.driver})
    facts = host.facts["initramfs"]
    kernels = [image for image in facts["images"] if _release(image["kernel"]) >= _FRAMEBUFFER_GOES]
    if not given or not drivers or any(_shows_at_once(driver, host) for driver in drivers):
        return None
    dark = [image["path"] for image in kernels if set(drivers).isdisjoint(image["display_drivers"])]
    if not dark:
        return None
    modules = " or ".join(sorted(map(console_module, drivers)))
    reason = (
        f"the root file system is encrypted ({evidence}), and once {given[0].address} is held for vfio-pci nobody sees "
        f"the prompt for its passphrase: {', '.join(dark)} has no driver for another display. Put "
        f"{modules} into the initramfs (/etc/initramfs-tools/modules, dracut's force_drivers, MODULES of mkinitcpio) "
        "and build it"
    )
    return Refusal(str(given[0].address), reason, ALLOW_CONSOLE)


def _shows_at_once(driver: str, host: HostState) -> bool:
    """Whether a display with this driver needs nothing from the image. A bus that is built in may still wait for the
    module that draws."""
    return driver in host.facts["vfio"]["builtin_drivers"] and console_module(driver) == driver.replace("-", "_")


def _release(kernel: str) -> tuple[int, ...]:
    return tuple(int(number) for number in re.findall(r"\d+", kernel)[:2])
