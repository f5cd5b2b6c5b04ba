# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""mkinitcpio on trees as its versions 37 to 40 leave them.

The stand-in reads configuration, drop-ins and build hooks with bash, in the order of mkinitcpio(8) and with the
functions that a build hook may count on; what the hooks ask for is packed.
"""

from __future__ import annotations

import subprocess
import typing as t
from collections.abc import Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    RefusedError,
    ToolError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import choose_generator
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.mkinitcpio import Mkinitcpio
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.unit.plugins.cpio_images import archive
from tests.unit.plugins.image_host import ImageHost
from tests.unit.plugins.unified_images import FakeUkify, unified_image

RELEASE = "6.11.5-arch1-1"
DEFAULT, FALLBACK = "/boot/initramfs-linux.img", "/boot/initramfs-linux-fallback.img"
UNIFIED = "/efi/EFI/Linux/arch-linux.efi"

PRESET_37 = """\
# mkinitcpio preset file for the 'linux' package

#ALL_config="/etc/mkinitcpio.conf"
ALL_kver="/boot/vmlinuz-linux"
ALL_microcode=(/boot/*-ucode.img)

PRESETS=('default' 'fallback')

#default_config="/etc/mkinitcpio.conf"
default_image="/boot/initramfs-linux.img"
#default_uki="/efi/EFI/Linux/arch-linux.efi"
#default_options="--splash /usr/share/systemd/bootctl/splash-arch.bmp"

#fallback_config="/etc/mkinitcpio.conf"
fallback_image="/boot/initramfs-linux-fallback.img"
fallback_options="-S autodetect"
"""
PRESET_39 = PRESET_37.replace("ALL_microcode=(/boot/*-ucode.img)\n", "")
PRESET_40 = """\
ALL_kver="/boot/vmlinuz-linux"
#ALL_kerneldest="/boot/vmlinuz-linux"
PRESETS=('default')
#PRESETS=('default' 'fallback')
default_image="/boot/initramfs-linux.img"
"""
PRESET_UNIFIED = """\
ALL_kver="/boot/vmlinuz-linux"
PRESETS=('default')
default_uki="/efi/EFI/Linux/arch-linux.efi"
default_options="--splash /usr/share/systemd/bootctl/splash-arch.bmp"
"""

BUSYBOX = (
    "MODULES=(btrfs)\nHOOKS=(base udev autodetect modconf kms keyboard keymap consolefont block filesystems fsck)\n"
)
SYSTEMD = "MODULES=()\nHOOKS=(base systemd autodetect microcode kms keyboard sd-vconsole block filesystems fsck)\n"

# What mkinitcpio's "functions" promise to build hooks. The tree is packed by its caller.
DRIVER = r"""
set -u
cat "$ROOT/etc/mkinitcpio.conf" "$ROOT"/etc/mkinitcpio.conf.d/*.conf 2>/dev/null >"$WORK/config"
. "$WORK/config"
BUILDROOT=$WORK/tree errors=0
add_module() { echo "$1" >>"$WORK/modules"; }
add_file() {
  local name=${1#"$ROOT"}
  local source=$ROOT$name target=$BUILDROOT${2:-$name}
  [[ -f $source ]] || { errors=1; return 1; }
  mkdir -p "${target%/*}" && cp "$source" "$target"
}
add_binary() { local target=$BUILDROOT${2:-$1}; mkdir -p "${target%/*}"; : >"$target"; }
add_symlink() { mkdir -p "$BUILDROOT${1%/*}"; ln -s "$2" "$BUILDROOT$1"; }
add_runscript() {
  local name=${BASH_SOURCE[1]##*/}
  add_file "/etc/initcpio/hooks/$name" "/hooks/$name"
  echo "$name" >>"$WORK/early"
}
mkdir -p "$BUILDROOT"
for hook in "${HOOKS[@]}"; do
  echo "$hook" >>"$WORK/hooks"
  [[ ! -e $ROOT/etc/initcpio/install/$hook ]] || {
    # Files of the host are looked for where this tree has them.
    sed "/for path in/s# /etc# $ROOT/etc#g" "$ROOT/etc/initcpio/install/$hook" >"$WORK/$hook"
    . "$WORK/$hook"
    build
  }
done
printf '%s\n' "${MODULES[@]}" >"$WORK/forced"
exit $errors
"""


class ArchHost(ImageHost):
    """``spoil`` changes what the stand-in packs; ``status`` is how it ends."""

    generator = "mkinitcpio"

    def __init__(self, base: Path, preset: str = PRESET_39, config: str = BUSYBOX) -> None:
        super().__init__(base)
        self.tools["mkinitcpio"] = self._mkinitcpio
        self.spoil: t.Callable[[dict[str, bytes]], bytes] = archive
        self.status = 0
        self.order: list[str] = []
        self.forced: list[str] = []
        self.modules(RELEASE)
        self.put(f"lib/modules/{RELEASE}/pkgbase", "linux\n")
        self.put("usr/bin/mkinitcpio", "_d_config=mkinitcpio.conf.d\n")
        self.put("etc/mkinitcpio.d/linux.preset", preset)
        self.put("etc/mkinitcpio.conf", config)
        for path in (DEFAULT, FALLBACK):
            if path in preset:
                self.put(path, archive({"init": b""}))

    def _mkinitcpio(self, argv: Sequence[str], _cwd: str | None) -> tuple[int, str]:
        assert list(argv[:3]) == ["/usr/bin/mkinitcpio", "-k", RELEASE]
        assert argv[3] == "-g"
        assert list(argv[5:]) in ([], ["-S", "autodetect"])
        work = self.base / "work"
        subprocess.run(["rm", "-rf", work], check=True)
        work.mkdir()
        environment = {"ROOT": str(self.base), "WORK": str(work), "PATH": "/usr/bin:/bin"}
        hooked = subprocess.run(["bash", "-c", DRIVER], env=environment, check=False, capture_output=True, text=True)
        self.order = (work / "hooks").read_text().split()
        self.forced = (work / "forced").read_text().split()
        tree = work / "tree"
        files = {str(path.relative_to(tree)): path.read_bytes() for path in tree.rglob("*") if path.is_file()}
        self.put(argv[4], self.spoil({"init": b"#!/usr/bin/ash\n", **files, **self.packed_modules(RELEASE)}))
        return hooked.returncode or self.status, hooked.stderr or "==> ERROR: module not found"


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "sync_boot_filesystem", lambda _path: None)


@pytest.mark.parametrize(
    ("preset", "images"),
    [
        (PRESET_37, [Image(RELEASE, FALLBACK, ("-S", "autodetect")), Image(RELEASE, DEFAULT)]),
        (PRESET_39, [Image(RELEASE, FALLBACK, ("-S", "autodetect")), Image(RELEASE, DEFAULT)]),
        (PRESET_40, [Image(RELEASE, DEFAULT)]),
        (PRESET_UNIFIED, [Image(RELEASE, UNIFIED, (), delivered=True)]),
        (PRESET_40 + f'default_uki="{UNIFIED}"', [Image(RELEASE, DEFAULT), Image(RELEASE, UNIFIED, (), True, DEFAULT)]),
    ],
)
def test_the_images_that_presets_name(tmp_path: Path, preset: str, images: list[Image]) -> None:
    assert Mkinitcpio().images(ArchHost(tmp_path, preset).root) == images


def test_a_kernel_of_no_package_has_no_preset(tmp_path: Path) -> None:
    host = ArchHost(tmp_path)
    host.modules("6.12.0-own")
    assert {image.kernel for image in Mkinitcpio().images(host.root)} == {RELEASE}


@pytest.mark.parametrize("line", ["default_image=/boot/$(uname -r).img", ". /etc/other", "PRESETS=('default'", "a='b"])
def test_a_preset_that_is_a_program_is_refused_by_line(tmp_path: Path, line: str) -> None:
    host = ArchHost(tmp_path, PRESET_40 + line + "\n")
    host.hold()
    with pytest.raises(HostStateError, match=r"linux\.preset has the line"):
        host.call()
    assert "more than a plain assignment" in host.facts()["obstacle"]


@pytest.mark.parametrize("config", [BUSYBOX, SYSTEMD], ids=["busybox", "systemd"])
@pytest.mark.parametrize("preset", [PRESET_37, PRESET_39, PRESET_40], ids=["37", "39", "40"])
def test_every_image_is_built_proven_and_released(tmp_path: Path, preset: str, config: str) -> None:
    host = ArchHost(tmp_path, preset, config)
    untouched = host.read("etc/mkinitcpio.conf")
    host.hold()
    foretold = host.call(check=True)
    done = host.call()
    assert host.rebuilt(foretold) == host.rebuilt(done) == [image.path for image in Mkinitcpio().images(host.root)]
    assert not host.call().changed
    listing = read_image(host.root, host.run, DEFAULT, ["hooks/*", "usr/lib/systemd/system/*"])
    assert TABLE_PATH.lstrip("/") in listing.names
    assert b"sh /etc/virtfleet-passthrough/vfio-early" in listing.contents["hooks/virtfleet-vfio"]
    assert b"Before=systemd-modules-load.service" in listing.contents["usr/lib/systemd/system/virtfleet-vfio.service"]
    host.let_go()
    assert host.call().changed
    assert [name for name in read_image(host.root, host.run, DEFAULT).names if "virtfleet" in name] == []
    assert host.read("etc/mkinitcpio.conf") == untouched
    assert not (tmp_path / "etc/mkinitcpio.conf.d").exists()


@pytest.mark.parametrize(
    ("config", "hooks", "modules"),
    [
        (BUSYBOX, "base virtfleet-vfio udev autodetect modconf", "vfio_pci vfio_iommu_type1 btrfs"),
        # EARLY-12: modconf brings what modprobe is told. EARLY-09: graphics drivers are last.
        (
            "MODULES=(i915 vfio_pci vfio vfio_iommu_type1 vfio_virqfd)\nHOOKS=(base systemd kms)\n",
            "base virtfleet-vfio systemd kms modconf",
            "vfio_pci vfio_iommu_type1 i915 vfio",
        ),
        (
            "MODULES='amdgpu'\nHOOKS='udev block'\n",
            "virtfleet-vfio udev block modconf",
            "vfio_pci vfio_iommu_type1 amdgpu",
        ),
    ],
)
def test_what_the_administrator_has_stays_in_its_order(tmp_path: Path, config: str, hooks: str, modules: str) -> None:
    host = ArchHost(tmp_path, PRESET_40, config)
    host.hold()
    host.call()
    assert " ".join(host.order).startswith(hooks)
    assert host.forced == modules.split()


def test_a_later_drop_in_that_forgets_our_hook_is_found_out(tmp_path: Path) -> None:
    host = ArchHost(tmp_path)
    before = host.read(DEFAULT)
    host.put("etc/mkinitcpio.conf.d/zzz.conf", "HOOKS=(base udev)\n")
    host.hold()
    with pytest.raises(ToolError, match="lacks etc/virtfleet-passthrough/vfio-devices"):
        host.call()
    assert host.read(DEFAULT) == before
    assert host.leftovers == []


def test_errors_that_mkinitcpio_only_counts_are_errors(tmp_path: Path) -> None:
    host = ArchHost(tmp_path)
    before = host.read(DEFAULT)
    host.hold()
    host.status = 1
    with pytest.raises(ToolError, match=r"Building the initramfs .* module not found"):
        host.call()
    assert host.read(DEFAULT) == before
    assert host.leftovers == []


@pytest.mark.parametrize(
    ("path", "text", "said"),
    [
        ("usr/bin/mkinitcpio", "version 36", "update it to version 37"),
        (
            "etc/mkinitcpio.d/linux.preset",
            PRESET_40 + "default_config=/etc/my.conf\n",
            "makes mkinitcpio read /etc/my.conf",
        ),
        ("etc/mkinitcpio.d/linux.preset", PRESET_40 + "ALL_config=/etc/my.conf\n", "and nothing in"),
    ],
)
def test_where_drop_ins_are_not_read_nothing_is_built(tmp_path: Path, path: str, text: str, said: str) -> None:
    host = ArchHost(tmp_path)
    host.put(path, text)
    host.hold()
    with pytest.raises(RefusedError, match=said):
        host.call()
    assert host.commands == []
    assert said in host.facts()["obstacle"]


def test_a_unified_image_gets_the_new_initramfs_and_keeps_the_rest(tmp_path: Path) -> None:
    host = ArchHost(tmp_path, PRESET_UNIFIED, SYSTEMD)
    host.tools["ukify"] = FakeUkify()
    host.put("usr/bin/ukify")
    host.put(UNIFIED, unified_image(RELEASE, "root=LABEL=arch rw", initrd=archive({"init": b""}), splash=b"arch"))
    host.hold()
    assert host.rebuilt(host.call()) == [UNIFIED]
    assert TABLE_PATH.lstrip("/") in read_image(host.root, host.run, UNIFIED).names
    for kept in (b"root=LABEL=arch rw", b"kernel " + RELEASE.encode(), b"arch"):
        assert kept in host.read(UNIFIED)
    assert not host.call().changed


def test_the_generator_with_presets_is_the_one(tmp_path: Path) -> None:
    host = ArchHost(tmp_path)
    host.put("usr/bin/booster")
    generator = choose_generator(Root(str(tmp_path)))
    assert generator is not None
    assert generator.name == "mkinitcpio"
