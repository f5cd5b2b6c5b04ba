# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Options of modules that passthrough needs now and then, and the files that set them. Pure.

Parameters from the kernel's sources: drivers/vfio/pci/vfio_pci.c, drivers/vfio/vfio_iommu_type1.c, arch/x86/kvm/x86.c,
sound/hda/hdac_i915.c (``gpu_bind``, not in Linux 6.1) and sound/pci/hda/patch_hdmi.c.
"""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resizable_bar import WantedBar, rule
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.resize_script import SCRIPT
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.xorg import HostGpu, snippet

OWNER = "vfio_options"

MODPROBE_PATH = "/etc/modprobe.d/virtfleet-vfio-options.conf"
MODULES_LOAD_PATH = "/etc/modules-load.d/virtfleet-vendor-reset.conf"
# Before 70-virtfleet-vfio.rules, which binds what appears later.
RULE_PATH = "/etc/udev/rules.d/69-virtfleet-resizable-bar.rules"
SCRIPT_PATH = "/etc/virtfleet-passthrough/resize-bar"
XORG_PATH = "/etc/X11/xorg.conf.d/20-virtfleet-host-gpu.conf"
PATHS = (MODPROBE_PATH, MODULES_LOAD_PATH, SCRIPT_PATH, RULE_PATH, XORG_PATH)

VENDOR_RESET = "vendor_reset"
I2C_NVIDIA_GPU = "i2c_nvidia_gpu"

_MANAGED = "# Written by Ansible (virtfleet.passthrough.vfio_options); changes made here will be refused, not kept.\n"


@dataclasses.dataclass(frozen=True)
class Parameter:
    """One parameter of one module, the module's name with underscores as the kernel knows it."""

    module: str
    name: str
    value: str

    @property
    def line(self) -> str:
        return f"options {self.module} {self.name}={self.value}"

    @property
    def argument(self) -> str:
        """The same for a module that is built into the kernel."""
        return f"{self.module}.{self.name}={self.value}"

    @property
    def label(self) -> str:
        return f"{self.module}.{self.name}"


# In the order of the lines. Options that are on or off as a whole.
PARAMETERS: t.Final[t.Mapping[str, tuple[Parameter, ...]]] = {
    "disable_vga": (Parameter("vfio_pci", "disable_vga", "1"),),
    "disable_idle_d3": (Parameter("vfio_pci", "disable_idle_d3", "1"),),
    "audio_unlink": (
        Parameter("snd_hda_core", "gpu_bind", "0"),
        Parameter("snd_hda_codec_hdmi", "enable_acomp", "n"),
    ),
    "ignore_msrs": (Parameter("kvm", "ignore_msrs", "1"),),
    "silence_ignored_msrs": (Parameter("kvm", "report_ignored_msrs", "0"),),
    "unsafe_interrupts": (Parameter("vfio_iommu_type1", "allow_unsafe_interrupts", "1"),),
}


@dataclasses.dataclass(frozen=True)
class Options:
    """Everything that shall be set. ``switches`` are names of :data:`PARAMETERS`; ``blacklist`` keeps the driver of
    the USB-C controller on NVIDIA cards from being loaded, which lets the host crash when the card is plugged in."""

    switches: tuple[str, ...] = ()
    blacklist: bool = False
    vendor_reset: bool = False
    bars: tuple[WantedBar, ...] = ()
    host_gpu: HostGpu | None = None

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        return tuple(parameter for name in PARAMETERS if name in self.switches for parameter in PARAMETERS[name])


def modules_of(switches: t.Collection[str], blacklist: bool = False, vendor_reset: bool = False) -> tuple[str, ...]:
    """The modules of these options, sorted, to be looked up in each kernel."""
    names = {parameter.module for switch in switches for parameter in PARAMETERS[switch]}
    names |= {I2C_NVIDIA_GPU} if blacklist else set()
    names |= {VENDOR_RESET} if vendor_reset else set()
    return tuple(sorted(names))


def files(options: Options) -> tuple[OwnedFile, ...]:
    """Every file that ``options`` need, what others call first."""
    wanted = []
    lines = [parameter.line for parameter in options.parameters]
    if options.blacklist:
        lines.append(f"blacklist {I2C_NVIDIA_GPU}")
    if lines:
        wanted.append(OwnedFile(MODPROBE_PATH, (_MANAGED + "\n".join(lines) + "\n").encode()))
    if options.vendor_reset:
        wanted.append(OwnedFile(MODULES_LOAD_PATH, f"{_MANAGED}{VENDOR_RESET}\n".encode()))
    if options.bars:
        wanted.append(OwnedFile(SCRIPT_PATH, SCRIPT.encode(), 0o755))
        wanted.append(OwnedFile(RULE_PATH, (_MANAGED + rule(options.bars, SCRIPT_PATH)).encode()))
    if options.host_gpu is not None:
        wanted.append(OwnedFile(XORG_PATH, (_MANAGED + snippet(options.host_gpu)).encode()))
    return tuple(wanted)
