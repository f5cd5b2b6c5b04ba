# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""booster on trees as its versions 0.9 and 0.12 leave them.

The stand-in takes the arguments of booster(1), reads ``/etc/booster.yaml`` and modprobe.d as the manual says, and packs
what the real one packs: modules without directories, and what its init shall do, in the form of Go's YAML writer.
"""

from __future__ import annotations

import dataclasses
import gzip
from collections.abc import Mapping, Sequence
from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import RefusedError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.booster import Booster
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.booster_image import (
    INIT_CONFIG,
    InitConfig,
    parse_init_config,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import choose_generator
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import OWNER, ids_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.modprobe import MODPROBE_PATH
from tests.unit.plugins.cpio_images import archive
from tests.unit.plugins.image_host import NIC, VFIO, ImageHost

RELEASE = "6.11.5-arch1-1"
IMAGE = "/boot/booster-linux.img"
OLD = archive({"init": b"old"})
READY = "# ours\nuniversal: false\nmodules_force_load: vfio_pci,vfio,vfio_iommu_type1,nvme  # root\n"

DEVICE = Device(Address.parse("0000:01:00.0"), NIC, "0200", native_driver="e1000e")


def recorded(forced: Sequence[str], options: Mapping[str, str]) -> str:
    """``/etc/booster.init.yaml``: the names of fields in small letters, four blanks a level, empty ones left out."""
    text = "moduledependencies:\n    vfio_pci:\n        - vfio\n        - irqbypass\n"
    if forced:
        text += "modulesforceload:\n" + "".join(f"    - {module}\n" for module in forced)
    if options:
        text += "modprobeoptions:\n" + "".join(f"    {module}: {value}\n" for module, value in options.items())
    return text + f"builtinmodules:\n    ext4: true\nkernel: {RELEASE}\nmounttimeout: 180\n"


class BoosterHost(ImageHost):
    """``in_use`` are the modules of this host that booster takes along by itself; ``packed`` images are compressed."""

    generator = "booster"

    def __init__(self, base: Path, config: str | None = READY, version: str = "0.12") -> None:
        super().__init__(base)
        self.tools["booster"] = self._booster
        self.in_use: list[str] = ["xhci_pci"]
        self.packed = version == "0.9"
        self.modules(RELEASE, [*VFIO, "nvme/host/nvme"])
        self.put(f"lib/modules/{RELEASE}/pkgbase", "linux\n")
        self.put("usr/bin/booster")
        self.put("usr/share/libalpm/hooks/90-booster-install.hook")
        self.put(IMAGE, OLD)
        if config is not None:
            self.put("etc/booster.yaml", config)

    def _booster(self, argv: Sequence[str], _cwd: str | None) -> tuple[int, str]:
        assert list(argv[:5]) == ["/usr/bin/booster", "build", "--force", "--kernel-version", RELEASE]
        extra, forced = self._configured("modules"), self._configured("modules_force_load")
        modules = [name for name in [*forced, *self.in_use] if f"-{name}" not in extra]
        options: dict[str, list[str]] = {}
        for path in sorted((self.base / "etc/modprobe.d").glob("*")):
            for line in path.read_text().splitlines():
                if line.startswith("options "):
                    _command, module, parameters = line.split(" ", 2)
                    options.setdefault(module.replace("-", "_"), []).append(parameters)
        kept = {module: " ".join(words) for module, words in sorted(options.items()) if module in modules}
        files = {f"usr/lib/modules/{module}.ko": b"" for module in modules}
        init = {"init": b"\x7fELF", INIT_CONFIG: recorded(forced, kept).encode(), **files}
        self.put(argv[5], gzip.compress(archive(init)) if self.packed else archive(init))
        return 0, ""

    def _configured(self, key: str) -> list[str]:
        for line in self.read("etc/booster.yaml").decode().splitlines():
            if line.startswith(f"{key}:"):
                return [name.strip() for name in line.partition(":")[2].partition("#")[0].split(",")]
        return []

    def hold_ids(self, device: Device = DEVICE) -> None:
        with locked(self.root) as ledger:
            for file in ids_files([device.identity], [device], ["booster"]):
                _owned.install(self.root, ledger, OWNER, file)

    def record_of(self) -> InitConfig:
        contents = read_image(self.root, self.run, IMAGE, [INIT_CONFIG]).contents
        return parse_init_config(contents[INIT_CONFIG].decode())


@pytest.fixture(autouse=True)
def _no_sync(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(rebuild, "sync_boot_filesystem", lambda _path: None)


@pytest.mark.parametrize("version", ["0.9", "0.12"])
def test_the_image_is_built_proven_and_released(tmp_path: Path, version: str) -> None:
    host = BoosterHost(tmp_path, version=version)
    chosen = choose_generator(host.root)
    assert (chosen and chosen.name, Booster().images(host.root)) == ("booster", [Image(RELEASE, IMAGE)])
    host.hold_ids()
    assert host.rebuilt(host.call(check=True)) == [IMAGE]
    assert host.read(IMAGE) == OLD
    assert host.rebuilt(host.call()) == [IMAGE]
    assert host.record_of().options == {"vfio_pci": "ids=8086:10d3"}
    assert not host.call().changed
    assert host.facts()["images"][0]["recorded"]
    host.let_go()
    assert host.rebuilt(host.call()) == [IMAGE]
    assert host.record_of().options == {}
    assert not host.call().changed
    assert host.read("etc/booster.yaml") == READY.encode()


@pytest.mark.parametrize(
    ("config", "line"),
    [
        (None, "modules_force_load: vfio_pci,vfio,vfio_iommu_type1'"),
        ("universal: true\n", "modules_force_load: vfio_pci,vfio,vfio_iommu_type1'"),
        ("modules_force_load: nvme\n", "modules_force_load: vfio_pci,vfio,vfio_iommu_type1,nvme'"),
        ('modules_force_load: "nvme, vfio-pci" # root\n', "modules_force_load: vfio_pci,vfio,vfio_iommu_type1,nvme'"),
        ("#modules_force_load: vfio_pci,vfio,vfio_iommu_type1\n", "modules_force_load: vfio_pci,"),
        ("modules: vfio_pci,vfio,vfio_iommu_type1\n", "modules_force_load: vfio_pci,"),
        ("modules_force_load:\n  nvme\n", "on one line"),
        ("modules_force_load: nvme,\n\n  vfio_pci\nstrip: true\n", "on one line"),
        ("modules_force_load:\n- nvme\n", "on one line"),
        ("modules_force_load: >-\n  nvme\n", "on one line"),
        ("modules_force_load: [nvme]\n", "on one line"),
        ("modules_force_load: nvme\nmodules_force_load: vfio_pci\n", "on one line"),
    ],
)
def test_a_configuration_that_is_not_ours_to_write_is_refused_with_the_line(
    tmp_path: Path, config: str | None, line: str
) -> None:
    host = BoosterHost(tmp_path, config)
    host.hold_ids()
    assert line in host.facts()["obstacle"]
    with pytest.raises(RefusedError, match="No image was changed"):
        host.call()
    assert host.commands == []


@pytest.mark.parametrize(
    "config", [READY, "strip: true\nmodules_force_load: 'vfio-pci, vfio, vfio_iommu_type1'\n# end\n\nvconsole: true\n"]
)
def test_a_configuration_that_loads_vfio_is_no_obstacle(tmp_path: Path, config: str) -> None:
    assert Booster().obstacle(BoosterHost(tmp_path, config).root) is None


def test_holding_by_address_is_refused_with_the_method_that_works(tmp_path: Path) -> None:
    host = BoosterHost(tmp_path)
    host.hold()
    with pytest.raises(RefusedError, match=r"run no scripts.*method ids"):
        host.call()
    assert (host.commands, host.read(IMAGE)) == ([], OLD)


def test_a_driver_that_would_be_loaded_beside_vfio_pci_fails_the_proof(tmp_path: Path) -> None:
    host = BoosterHost(tmp_path)
    host.in_use = ["e1000e", "drm"]
    host.hold_ids()
    with pytest.raises(ToolError, match=r"holds e1000e, .* at the same moment as vfio-pci"):
        host.call()
    assert (host.read(IMAGE), host.leftovers) == (OLD, [])
    host.put("etc/booster.yaml", READY + "modules: -e1000e\n")
    assert host.call().changed


def test_options_that_a_later_file_overrides_fail_the_proof(tmp_path: Path) -> None:
    host = BoosterHost(tmp_path)
    host.hold_ids()
    host.put("etc/modprobe.d/zz.conf", "options vfio-pci ids=1234:5678\n")
    with pytest.raises(ToolError, match=r"lacks etc/modprobe\.d/virtfleet-vfio\.conf"):
        host.call()
    assert host.read(IMAGE) == OLD


def test_a_library_of_graphics_drivers_takes_no_device(tmp_path: Path) -> None:
    host = BoosterHost(tmp_path)
    host.in_use = ["drm", "simpledrm"]
    host.hold_ids(dataclasses.replace(DEVICE, class_code="0300", native_driver="amdgpu"))
    assert host.call().changed
    assert not host.call().changed


@pytest.mark.parametrize(("forced", "more"), [(["nvme"], []), (["vfio_pci"], ["e1000e"])])
def test_an_image_that_may_give_the_device_to_its_own_driver_is_stale(
    tmp_path: Path, forced: list[str], more: list[str]
) -> None:
    host = BoosterHost(tmp_path)
    host.hold_ids()
    built = recorded(forced, {"vfio_pci": "ids=8086:10d3"})
    modules = {f"usr/lib/modules/{name}.ko": b"" for name in ("vfio", "vfio_pci", "vfio_iommu_type1", *more)}
    host.put(IMAGE, archive({"init": b"", INIT_CONFIG: built.encode(), **modules}))
    assert host.call(check=True).data["images"][0]["reasons"] == [f"lacks {MODPROBE_PATH.lstrip('/')}"]


def test_an_option_that_was_taken_back_is_taken_out_of_the_image(tmp_path: Path) -> None:
    host = BoosterHost(tmp_path)
    host.hold_ids()
    option = _owned.OwnedFile("/etc/modprobe.d/virtfleet-vfio-options.conf", b"options vfio-pci disable_vga=1\n")
    with locked(host.root) as ledger:
        _owned.install(host.root, ledger, "vfio_options", option)
    assert host.call().changed
    assert host.record_of().parameters("vfio_pci") == {"disable_vga": "1", "ids": "8086:10d3"}
    assert not host.call().changed
    with locked(host.root) as ledger:
        _owned.release(host.root, ledger, option.path)
        # As on a host where nobody has looked into the image since.
        ledger.section("images").clear()
        ledger.save()
    assert host.call().changed
    assert host.record_of().parameters("vfio_pci") == {"ids": "8086:10d3"}


def test_a_failed_build_leaves_the_old_image(tmp_path: Path) -> None:
    host = BoosterHost(tmp_path)
    host.tools["booster"] = lambda _argv, _cwd: (1, "module vfio_pci does not exist")
    host.hold_ids()
    with pytest.raises(ToolError, match="module vfio_pci does not exist"):
        host.call()
    assert (host.read(IMAGE), host.leftovers) == (OLD, [])


@pytest.mark.parametrize(
    ("text", "config"),
    [
        (recorded(["vfio_pci", "nvme"], {}), InitConfig(("vfio_pci", "nvme"), {})),
        (recorded([], {"kvm": "ignore_msrs=1"}), InitConfig((), {"kvm": "ignore_msrs=1"})),
        (
            "modprobeoptions:\n    a: 'b=''c'''\n    d: e=1\n        f=2\n",
            InitConfig((), {"a": "b='c'", "d": "e=1 f=2"}),
        ),
        ('modprobeoptions:\n    a: "b=\\"c d\\""\n', InitConfig((), {"a": 'b="c d"'})),
        ("modprobeoptions:\n    d: e=1\n        f: 2\n    g: h=1\n", InitConfig((), {"d": "e=1 f: 2", "g": "h=1"})),
        ("modprobeoptions: {}\nmodulesforceload: []\n", InitConfig((), {})),
        ("", InitConfig((), {})),
    ],
)
def test_what_booster_records_for_its_init(text: str, config: InitConfig) -> None:
    assert parse_init_config(text) == config
