# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.firmware import (
    BootOption,
    Firmware,
    loader_variable,
    parse_boot_option,
    read_firmware,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from tests.unit.plugins.efi_variables import (
    IPV4,
    MAC,
    file_path,
    hard_drive,
    load_option,
    set_boot_current,
    set_loader_variable,
    set_variable,
)

ESP = "c1a5d0de-0001-4aaa-8bbb-0123456789ab"


def test_a_machine_without_efi_tells_nothing(tmp_path: Path) -> None:
    assert read_firmware(Root(str(tmp_path))) == Firmware()


def test_what_firmware_loader_and_stub_say(tmp_path: Path) -> None:
    set_boot_current(
        tmp_path,
        load_option(
            hard_drive(ESP), file_path("\\EFI\\systemd\\systemd-bootx64.efi"), description="Linux Boot Manager"
        ),
        number=0xA,
    )
    set_variable(tmp_path, "SecureBoot", b"\x01")
    set_loader_variable(tmp_path, "LoaderInfo", "systemd-boot 257.8-1~deb13u2")
    set_loader_variable(tmp_path, "LoaderEntrySelected", "0123-6.12.48+deb13-amd64.conf")
    set_loader_variable(tmp_path, "StubInfo", "systemd-stub 257.8-1~deb13u2")
    assert read_firmware(Root(str(tmp_path))) == Firmware(
        efi=True,
        secure_boot=True,
        current=BootOption(0xA, "Linux Boot Manager", "/EFI/systemd/systemd-bootx64.efi", ESP, network=False),
        loader="systemd-boot 257.8-1~deb13u2",
        entry="0123-6.12.48+deb13-amd64.conf",
        stub="systemd-stub 257.8-1~deb13u2",
    )


def test_a_variable_that_is_empty_counts_as_not_set(tmp_path: Path) -> None:
    set_loader_variable(tmp_path, "LoaderEntryOneShot", "")
    assert loader_variable(Root(str(tmp_path)), "LoaderEntryOneShot") is None


@pytest.mark.parametrize(
    ("nodes", "path", "partition", "network"),
    [
        ([hard_drive(ESP), file_path("\\EFI\\debian\\shimx64.efi")], "/EFI/debian/shimx64.efi", ESP, False),
        ([hard_drive(ESP), file_path("\\EFI\\"), file_path("BOOT\\BOOTX64.EFI")], "/EFI/BOOT/BOOTX64.EFI", ESP, False),
        ([hard_drive(ESP, signature_type=1), file_path("EFI\\x.efi")], "/EFI/x.efi", None, False),
        ([b"\x02\x01\x0c\x00" + bytes(8), MAC, IPV4], None, None, True),
        ([], None, None, False),
    ],
)
def test_device_paths(nodes: list[bytes], path: str | None, partition: str | None, network: bool) -> None:
    option = parse_boot_option(1, load_option(*nodes, description="UEFI OS"))
    assert option == BootOption(1, "UEFI OS", path, partition, network)


@pytest.mark.parametrize(
    ("given", "image"),
    [
        ("\\EFI\\Linux\\m-6.14.efi", "/EFI/Linux/m-6.14.efi"),
        ("root=/dev/sda2 ro", None),
        ("", None),
    ],
)
def test_what_shim_is_told_to_start(given: str, image: str | None) -> None:
    option = load_option(hard_drive(ESP), file_path("\\EFI\\fedora\\shimx64.efi"))
    parsed = parse_boot_option(1, option + given.encode("utf-16-le") + b"\0\0")
    assert parsed is not None
    assert (parsed.path, parsed.image) == ("/EFI/fedora/shimx64.efi", image)


WHOLE = load_option(hard_drive(ESP), file_path("\\EFI\\debian\\grubx64.efi"), MAC)


@given(st.one_of(st.binary(max_size=120), st.integers(0, len(WHOLE)).map(lambda size: WHOLE[:size])))
def test_what_a_broken_firmware_wrote_is_read_without_failing(data: bytes) -> None:
    option = parse_boot_option(0, data)
    assert option is None or (option.number == 0 and "\0" not in option.description)
