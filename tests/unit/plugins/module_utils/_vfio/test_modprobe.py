# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device, Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.methods import METHODS, resolve_method
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import (
    MODPROBE_PATH,
    ids_argument,
    ids_on_line,
    modprobe_file,
)

GPU = Identity("10de", "13c2", "1458", "3679")
SOUND = Identity("10de", "0fbb", "1458", "3679")


def device(identity: Identity, class_code: str, *modules: str, native: str | None = None) -> Device:
    return Device(Address(0, 1, 0, 0), identity, class_code, candidate_modules=modules, native_driver=native)


def lines(*devices: Device) -> list[str]:
    file = modprobe_file([one.identity for one in devices], devices)
    assert file.path == MODPROBE_PATH
    return file.content.decode().splitlines()[1:]


def test_one_sorted_line_of_ids_each_once() -> None:
    assert lines(device(GPU, "0200"), device(SOUND, "0200"), device(GPU, "0200")) == [
        "options vfio-pci ids=10de:0fbb,10de:13c2"
    ]
    assert ids_argument([GPU, SOUND, GPU]) == "vfio-pci.ids=10de:0fbb,10de:13c2"


@pytest.mark.parametrize(
    ("modules", "native", "expected"),
    [
        (("nouveau",), "nouveau", ["drm", "nouveau"]),
        (("nouveau", "nvidia"), "nvidia", ["nouveau", "nvidia"]),
        (("nouveau", "nvidia_current"), None, ["nouveau", "nvidia", "nvidia_current"]),
        (("nouveau", "nvidiafb"), None, ["drm", "nouveau", "nvidiafb"]),
        ((), "xe", ["drm", "xe"]),
        ((), None, ["drm"]),
    ],
)
def test_what_a_display_waits_for(modules: tuple[str, ...], native: str | None, expected: list[str]) -> None:
    assert lines(device(GPU, "0300", *modules, native=native))[1:] == [
        f"softdep {name} pre: vfio-pci" for name in expected
    ]


def test_other_devices_wait_for_their_own_drivers_only() -> None:
    assert lines(device(SOUND, "0403", "snd_hda_intel"))[1:] == ["softdep snd_hda_intel pre: vfio-pci"]
    # The module that has the alias counts, and not the driver in it: xhci_hcd is the driver, xhci_pci the module.
    assert lines(device(SOUND, "0c03", "xhci_pci", native="xhci_hcd"))[1:] == ["softdep xhci_pci pre: vfio-pci"]


def test_ids_on_a_command_line() -> None:
    line = ["ro", "vfio_pci.ids=1:2", "vfio-pci.ids=3:4", "vfio-pci.disable_vga=1", "--", "vfio-pci.ids=5:6"]
    assert ids_on_line(line) == ("vfio_pci.ids=1:2", "vfio-pci.ids=3:4")


def test_names_of_methods() -> None:
    assert [resolve_method(name, "method") for name in (None, *METHODS)] == [
        "override",
        "override",
        "override",
        "ids",
        "driverctl",
    ]
    with pytest.raises(InputError, match="method is 'new_id'; expected auto, override, ids, driverctl"):
        resolve_method("new_id", "method")
