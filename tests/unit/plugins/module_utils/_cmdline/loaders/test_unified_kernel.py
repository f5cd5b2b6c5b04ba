# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Unified kernel images on small trees, with a stand-in for ukify; the real one runs in the chroot tests."""

from __future__ import annotations

import shutil
from pathlib import Path
from types import SimpleNamespace

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.portable_executable import read_pe
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from tests.unit.plugins.boot_trees import BootTree
from tests.unit.plugins.efi_variables import (
    file_path,
    hard_drive,
    load_option,
    set_boot_current,
    set_loader_variable,
    set_variable,
)
from tests.unit.plugins.unified_images import FakeUkify, pe_file, unified_image

ESP = "c1a5d0de-0001-4aaa-8bbb-0123456789ab"
MACHINE = "4098b3f648d74c13b1f04ccfba7798e8"
OLD, NEW = "6.12.41+deb13-amd64", "6.12.43+deb13-amd64"
LINE = "root=/dev/vda2 ro quiet"


class UnifiedHost(BootTree):
    def __init__(self, base: Path) -> None:
        self.ukify = FakeUkify()
        super().__init__(base, "unified-kernel/debian-13", self.ukify)
        self.put_image(OLD)
        self.put_image(NEW)

    def put_image(self, release: str, line: str = LINE, name: str = "", **sections: bytes) -> None:
        directory = self.base / "efi/EFI/Linux"
        directory.mkdir(parents=True, exist_ok=True)
        (directory / f"{name or f'{MACHINE}-{release}'}.efi").write_bytes(unified_image(release, line, **sections))


@pytest.fixture
def host(tmp_path: Path) -> UnifiedHost:
    return UnifiedHost(tmp_path)


def test_read(host: UnifiedHost) -> None:
    state = host.state()
    assert (state["bootloader"], state["next_boot"], state["reboot_required"]) == (
        "unified-kernel",
        LINE.split(),
        False,
    )
    assert [entry["kernel"] for entry in host.entries()] == [NEW, OLD]
    assert host.next_kernel() == NEW


def test_in_changed_and_out(host: UnifiedHost) -> None:
    before = host.snapshot()
    foretold = host.put("iommu", "intel_iommu=on", check_mode=True)
    assert (host.snapshot(), host.commands) == (before, [])
    done = host.put("iommu", "intel_iommu=on")
    assert (foretold.state, foretold.diff) == (done.state, done.diff)
    assert set(host.lines().values()) == {f"{LINE} intel_iommu=on"}
    assert (host.base / "etc/kernel/cmdline").read_text() == f"{LINE} intel_iommu=on\n"

    host.commands.clear()
    assert not host.put("iommu", "intel_iommu=on").changed
    assert host.commands == []
    host.put("iommu")
    assert set(host.lines().values()) == {LINE}
    # The images were built again, with the stub of today; nothing else came or went.
    assert host.snapshot().keys() == before.keys()
    assert {path: data for path, data in host.snapshot().items() if not path.endswith(".efi")} == {
        path: data for path, data in before.items() if not path.endswith(".efi")
    }


def test_kernel_and_initramfs_come_out_of_the_image(host: UnifiedHost) -> None:
    host.put_image(NEW, ucode=b"microcode", splash=b"BM")
    before = read_pe(str(host.base / f"efi/EFI/Linux/{MACHINE}-{NEW}.efi"))
    assert before is not None
    kept = {name: before.read(name) for name in (".linux", ".initrd", ".osrel", ".uname", ".ucode", ".splash")}
    host.put("iommu", "intel_iommu=on")
    after = read_pe(before.path)
    assert after is not None
    assert {name: after.read(name) for name in kept} == kept


@pytest.mark.parametrize(
    ("failure", "reason"),
    [
        ("exit status", "no such stub"),
        ("nothing", "left no complete image"),
        ("empty", "left no complete image"),
        ("truncated", "left no complete image"),
        ("another line", "another command line than asked for"),
        ("another initramfs", "another content of .initrd"),
    ],
)
def test_what_fails_leaves_every_byte(host: UnifiedHost, failure: str, reason: str) -> None:
    host.put("vfio", "a=1")
    before = host.snapshot()
    host.ukify.failure = failure
    with pytest.raises(ToolError, match=reason):
        host.put("iommu", "intel_iommu=on")
    assert host.snapshot() == before


@pytest.mark.parametrize("after", [0, 1, 2, 3])
def test_a_full_partition_puts_every_image_back(host: UnifiedHost, after: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever copy fails: the old image's for safety, or the new one's into its place."""
    before = host.snapshot()
    left = [after]
    real = shutil.copyfile

    def copyfile(source: str, target: str) -> None:
        left[0] -= 1
        if left[0] == -1:
            Path(target).write_bytes(b"half")
            raise OSError(28, "No space left on device", target)
        real(source, target)

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(OSError, match="No space left"):
        host.put("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_what_arrives_damaged_on_the_partition_is_not_switched(
    host: UnifiedHost, monkeypatch: pytest.MonkeyPatch
) -> None:
    before = host.snapshot()
    real = shutil.copyfile

    def copyfile(source: str, target: str) -> None:
        real(source, target)
        if target.startswith(str(host.base / "efi")):
            content = Path(target).read_bytes()
            Path(target).write_bytes(content[:-1] + b"?")

    monkeypatch.setattr(shutil, "copyfile", copyfile)
    with pytest.raises(ToolError, match="what was read back differs"):
        host.put("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_space_is_checked_before_anything_is_written(host: UnifiedHost, monkeypatch: pytest.MonkeyPatch) -> None:
    before = host.snapshot()
    monkeypatch.setattr(shutil, "disk_usage", lambda path: SimpleNamespace(free=1 << 20))
    with pytest.raises(HostStateError, match=r"efi/EFI/Linux has 1 MiB free, .* Nothing was changed"):
        host.put("iommu", "intel_iommu=on")
    assert (host.snapshot(), host.commands) == (before, [])


def secure_boot(host: UnifiedHost) -> None:
    set_variable(host.base, "SecureBoot", b"\1")


def test_secure_boot_without_a_key_is_refused_before_anything(host: UnifiedHost) -> None:
    secure_boot(host)
    before = host.snapshot()
    with pytest.raises(RefusedError, match=r"Secure Boot is on .* no key was found"):
        host.put("iommu", "intel_iommu=on", check_mode=True)
    with pytest.raises(RefusedError, match="Secure Boot is on"):
        host.put("iommu", "intel_iommu=on")
    assert (host.snapshot(), host.commands) == (before, [])
    # The plan refuses before any other part is written.
    assert "Secure Boot is on" in host.state()["obstacle"]


def test_secure_boot_with_a_key_of_ukify(host: UnifiedHost) -> None:
    secure_boot(host)
    (host.base / "etc/kernel/uki.conf").write_text("[UKI]\nSecureBootPrivateKey=/etc/kernel/key.pem\n")
    with pytest.raises(ToolError, match="without a signature"):
        host.put("iommu", "intel_iommu=on")
    host.ukify.signs = True
    host.put("iommu", "intel_iommu=on")
    assert set(host.lines().values()) == {f"{LINE} intel_iommu=on"}
    assert any("/etc/kernel/uki.conf" in command for command in host.commands)


def test_secure_boot_with_sbctl(host: UnifiedHost) -> None:
    secure_boot(host)
    for path in ("usr/bin/sbctl", "var/lib/sbctl/keys/db/db.key"):
        (host.base / path).parent.mkdir(parents=True, exist_ok=True)
        (host.base / path).write_text("")
    host.ukify.signs = True
    host.put("iommu", "intel_iommu=on")
    assert [command[:2] for command in host.commands].count(("/usr/bin/sbctl", "sign")) == 2


@pytest.mark.parametrize(
    ("path", "text", "reason"),
    [
        ("usr/bin/ukify", None, "ukify, which is not installed"),
        ("etc/kernel/install.conf", "layout=uki\nuki_generator=dracut\n", "uki_generator=dracut"),
        ("etc/kernel/install.conf.d/50.conf", "uki_generator=dracut\n", "uki_generator=dracut"),
    ],
)
def test_other_ways_to_make_images_are_refused(host: UnifiedHost, path: str, text: str | None, reason: str) -> None:
    file = host.base / path
    if text is None:
        file.unlink()
    else:
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    with pytest.raises(RefusedError, match=reason):
        host.put("iommu", "intel_iommu=on")


def test_an_image_with_profiles_is_refused(host: UnifiedHost) -> None:
    host.put_image(NEW, profile=b"ID=main\n")
    with pytest.raises(RefusedError, match=r"has a section \.profile"):
        host.put("iommu", "intel_iommu=on")


def test_an_image_does_not_lose_its_signed_measurements(host: UnifiedHost) -> None:
    host.put_image(NEW, pcrsig=b"{}", pcrpkey=b"key")
    before = host.snapshot()
    with pytest.raises(ToolError, match=r"without \.pcrsig, \.pcrpkey, which the present one has"):
        host.put("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_the_firmware_can_start_an_image_itself(host: UnifiedHost) -> None:
    set_boot_current(host.base, load_option(file_path(f"\\EFI\\Linux\\{MACHINE}-{OLD}.efi")))
    assert host.next_kernel() == OLD
    (host.base / "efi/loader/loader.conf").unlink()
    assert host.state()["bootloader"] == "unified-kernel"


def test_what_boots_next_decides_between_images_and_entry_files(host: UnifiedHost) -> None:
    entries = host.base / "efi/loader/entries"
    entries.mkdir(parents=True, exist_ok=True)
    (entries / "other.conf").write_text(f"title Other\nsort-key debian\nversion 12\nlinux /l\noptions {LINE}\n")
    assert host.state()["bootloader"] == "unified-kernel"
    (host.base / "efi/loader/loader.conf").write_text("default other*\n")
    assert host.state()["bootloader"] == "systemd-boot"
    # Both kinds are changed: whichever the operator picks at the menu carries what the host needs.
    host.put("iommu", "intel_iommu=on")
    assert set(host.lines().values()) == {f"{LINE} intel_iommu=on"}
    set_loader_variable(host.base, "StubInfo", "systemd-stub 257.13")
    assert host.state()["bootloader"] is None


def test_upper_case_names_as_fat_has_them(host: UnifiedHost) -> None:
    (host.base / "efi/EFI/Linux").rename(host.base / "efi/EFI/LINUX")
    (host.base / "efi/EFI/LINUX/Windows.EFI").write_bytes(b"MZ")
    assert [entry["kernel"] for entry in host.entries()] == [NEW, OLD]


def put_addon(host: UnifiedHost, path: str, line: str, signed: bool = False, **sections: bytes) -> None:
    file = host.base / "efi" / path
    file.parent.mkdir(parents=True, exist_ok=True)
    content = {".cmdline": line.encode(), **{f".{name}": data for name, data in sections.items()}}
    file.write_bytes(pe_file(content, signed))


def test_addons_come_behind_the_line_of_their_images(host: UnifiedHost) -> None:
    image = f"EFI/Linux/{MACHINE}-{NEW}.efi.extra.d"
    put_addon(host, f"{image}/b.addon.efi", "console=ttyS0")
    put_addon(host, f"{image}/a.addon.efi", "debug\n", uname=NEW.encode())
    put_addon(host, f"{image}/other.addon.efi", "other", uname=OLD.encode())
    put_addon(host, f"{image}/image.addon.efi", "image", linux=b"kernel")
    put_addon(host, f"{image}/notes.efi", "notes")
    put_addon(host, "loader/addons/all.addon.efi", "for=all")
    lines = {kernel: line for (kernel, _title), line in host.lines().items()}
    assert lines == {NEW: f"{LINE} for=all debug console=ttyS0", OLD: f"{LINE} for=all"}


def test_addons_are_not_baked_into_the_image(host: UnifiedHost) -> None:
    put_addon(host, "loader/addons/all.addon.efi", "for=all")
    foretold = host.put("iommu", "intel_iommu=on", check_mode=True)
    done = host.put("iommu", "intel_iommu=on")
    assert (foretold.state, foretold.diff) == (done.state, done.diff)
    assert set(host.lines().values()) == {f"{LINE} intel_iommu=on for=all"}
    image = read_pe(str(host.base / f"efi/EFI/Linux/{MACHINE}-{NEW}.efi"))
    assert image is not None
    assert image.text(".cmdline") == f"{LINE} intel_iommu=on"
    assert not host.put("iommu", "intel_iommu=on").changed
    host.put("iommu")
    assert set(host.lines().values()) == {f"{LINE} for=all"}


def test_what_an_addon_says_otherwise_is_refused(host: UnifiedHost) -> None:
    put_addon(host, "loader/addons/all.addon.efi", "intel_iommu=off")
    with pytest.raises(RefusedError, match="contradicts 'intel_iommu=off'"):
        host.put("iommu", "intel_iommu=on")


def test_an_image_that_is_on_trial_has_its_addons_by_its_plain_name(host: UnifiedHost) -> None:
    host.put_image("6.13", name="trial+3-0")
    put_addon(host, "EFI/Linux/trial.efi.extra.d/a.addon.efi", "debug")
    assert {kernel: line for (kernel, _title), line in host.lines().items()}["6.13"] == f"{LINE} debug"


def test_with_secure_boot_only_signed_addons_count(host: UnifiedHost) -> None:
    put_addon(host, "loader/addons/a.addon.efi", "unsigned")
    put_addon(host, "loader/addons/b.addon.efi", "signed", signed=True)
    assert set(host.lines().values()) == {f"{LINE} unsigned signed"}
    set_variable(host.base, "SecureBoot", b"\1")
    assert set(host.lines().values()) == {f"{LINE} signed"}


@pytest.mark.parametrize("settings", ["BOOT_ROOT=/esp\n", "layout=uki\nBOOT_ROOT='/esp/'\n"])
def test_a_place_of_its_own_for_the_partition(host: UnifiedHost, settings: str) -> None:
    (host.base / "efi").rename(host.base / "esp")
    assert host.state()["bootloader"] is None
    (host.base / "etc/kernel/install.conf").write_text(settings)
    assert set(host.lines().values()) == {LINE}


PRESET = 'PRESETS=("default")\nALL_kver="/boot/vmlinuz-linux"\ndefault_uki="/efi/EFI/Linux/arch-linux.efi"\n'


@pytest.mark.parametrize(
    ("preset", "drop_ins", "template", "reason"),
    [
        (PRESET, False, True, None),
        (PRESET, True, True, None),
        (PRESET, False, False, None),
        (PRESET, True, False, r"mkinitcpio takes the command line .* from /etc/cmdline\.d"),
        (PRESET + 'default_cmdline="/etc/other"\n', False, True, r"linux\.preset gives its unified kernel images"),
        (PRESET + 'default_options="-S autodetect --no-cmdline"\n', False, True, r"linux\.preset gives"),
        (PRESET.replace("default_uki", "default_image"), True, False, None),
    ],
)
def test_what_mkinitcpio_will_give_the_next_kernel(
    host: UnifiedHost, preset: str, drop_ins: bool, template: bool, reason: str | None
) -> None:
    for path in ("etc/mkinitcpio.d", "etc/cmdline.d"):
        (host.base / path).mkdir()
    (host.base / "etc/mkinitcpio.d/linux.preset").write_text(preset)
    if drop_ins:
        (host.base / "etc/cmdline.d/root.conf").write_text(LINE)
    (host.base / "etc/kernel/cmdline").unlink(missing_ok=True)
    if template:
        (host.base / "etc/kernel/cmdline").write_text(f"{LINE}\n")
    before = host.snapshot()
    if reason is None:
        assert host.put("iommu", "intel_iommu=on").changed
    else:
        with pytest.raises(RefusedError, match=reason):
            host.put("iommu", "intel_iommu=on")
        assert host.snapshot() == before


def test_an_image_that_a_package_brought_is_not_built_anew(host: UnifiedHost) -> None:
    """Fedora's kernel-uki-virt: kernel-install copies the next one as it comes."""
    packaged = host.base / f"usr/lib/modules/{NEW}/vmlinuz-virt.efi"
    packaged.parent.mkdir(parents=True)
    packaged.write_text("")
    before = host.snapshot()
    with pytest.raises(RefusedError, match=r"ready-made from a package .*vmlinuz-virt\.efi.*addon"):
        host.put("iommu", "intel_iommu=on")
    assert host.snapshot() == before


def test_shim_is_told_by_the_firmware_which_image_to_start(host: UnifiedHost) -> None:
    """Fedora's images without a boot menu: the firmware's entry is shim with the image as its argument; a new kernel
    is tried once before it stays."""
    shim = load_option(hard_drive(ESP), file_path("\\EFI\\fedora\\shimx64.efi"))

    def entry(release: str) -> bytes:
        return shim + f"\\EFI\\Linux\\{MACHINE}-{release}.efi".encode("utf-16-le") + b"\0\0"

    set_boot_current(host.base, entry(OLD), number=1)
    assert (host.state()["bootloader"], host.next_kernel()) == ("unified-kernel", OLD)
    set_variable(host.base, "Boot0002", entry(NEW))
    set_variable(host.base, "BootNext", b"\x02\0")
    assert host.next_kernel() == NEW


def test_images_of_mkinitcpio_are_told_apart_by_their_release(tmp_path: Path) -> None:
    """Arch: names without a version, one image more per kernel as a fallback, a glob in loader.conf."""
    host = UnifiedHost(tmp_path)
    shutil.rmtree(tmp_path / "efi/EFI/Linux")
    release = b'NAME="Arch Linux"\nPRETTY_NAME="Arch Linux"\nID=arch\nBUILD_ID=rolling\n'
    for name, kernel in (
        ("linux", "6.15.4-arch2-1"),
        ("linux-fallback", "6.15.4-arch2-1"),
        ("linux-lts", "6.12.34-1-lts"),
    ):
        host.put_image(kernel, name=f"arch-{name}", osrel=release)
    loader = tmp_path / "efi/loader/loader.conf"
    loader.parent.mkdir(parents=True, exist_ok=True)
    loader.write_text("default arch-linux-lts*\n")
    assert host.next_kernel() == "6.12.34-1-lts"
    loader.write_text("default arch-linux.efi\n")
    assert host.next_kernel() == "6.15.4-arch2-1"
    host.put("iommu", "intel_iommu=on")
    assert {" ".join(entry["args"]) for entry in host.entries()} == {f"{LINE} intel_iommu=on"}
    assert [entry["kernel"] for entry in host.entries() if entry["default"]] == ["6.15.4-arch2-1"]
