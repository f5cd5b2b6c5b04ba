# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Early binding through the real mkinitramfs and the real dracut, from an untouched image and back to it.

Takes about two minutes on two cores once the trees are in the cache; building those takes two minutes each.
"""

from __future__ import annotations

import hashlib
import os
import re
import shutil
import subprocess
import typing as t

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.writer import ArgumentsChange
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult, Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, ToolError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing, read_image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.rebuild import new_name
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.state import read_state
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH, Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.initramfs import prove_and_rebuild
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.vfio_bind import bind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import SCRIPT_PATH, UDEV_RULE_PATH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH
from tests.integration.chroot.conftest import Chroot

if t.TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from pathlib import Path

pytestmark = pytest.mark.chroot

NIC = "0000:01:00.0"
HOOKS = {
    "debian12": "scripts/init-top/00-virtfleet-vfio",
    "debian13": "var/lib/dracut/hooks/pre-udev/10-virtfleet-vfio.sh",
}
# Like "ls -l": mode, links, owner, group, size (or two numbers for a device), date.
LSINITRD_LINE = re.compile(r"[-dlcbp][-rwxsStT]{9} .* [A-Z][a-z]{2} +[0-9]+ +(?:[0-9]{2}:[0-9]{2}|[0-9]{4}) (.+)")
BUILDERS = {"/usr/sbin/mkinitramfs", "dracut"}


class Module:
    """What the bodies use of AnsibleModule."""

    def __init__(self, check_mode: bool, **params: t.Any) -> None:
        self.params = params
        self.check_mode = check_mode
        self.logged: list[str] = []

    def log(self, message: str) -> None:
        self.logged.append(message)


def set_arguments(
    _root: Root, _run: Runner, ledger: Ledger, owner: str, args: Sequence[str], check_mode: bool
) -> ArgumentsChange:
    """The trees have no boot loader."""
    section = ledger.section("kernel_args")
    changed = section.get(owner, []) != list(args)
    if changed and not check_mode:
        section[owner] = list(args)
        if not args:
            del section[owner]
        ledger.save()
    return ArgumentsChange(changed, {}, ())


def vfio_bind(chroot: Chroot, state: str) -> Result:
    names = ("vendor_id", "device_id", "subsystem_vendor_id", "subsystem_device_id", "serial")
    device: dict[str, t.Any] = {"address": NIC, "allow": [], **dict.fromkeys(names)}
    common: dict[str, t.Any] = {
        "timing": "boot",
        "method": "auto",
        "exclusive": False,
        "allow": [],
        "trial_first": False,
    }
    common["bootloader"] = "auto"
    module: t.Any = Module(False, devices=[device], state=state, **common)
    return bind(module, chroot.run, root=chroot.root, write=chroot.attribute, set_args=set_arguments)


def initramfs(chroot: Chroot, *, check: bool = False, staged: bool = False) -> Result:
    module: t.Any = Module(check, generator="auto", kernels=["all"], require=None, planned_files=None, staged=staged)
    return prove_and_rebuild(module, chroot.run, root=chroot.root)


def listing(chroot: Chroot, patterns: Sequence[str] = ()) -> Listing:
    return read_image(chroot.root, chroot.run, f"/boot/{chroot.image.name}", patterns)


def builds(chroot: Chroot) -> int:
    return sum(not BUILDERS.isdisjoint(command) for command in chroot.commands)


def checksum(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


@pytest.fixture(params=["debian12", "debian13"])
def chroot(request: pytest.FixtureRequest) -> Chroot:
    chosen: Chroot = request.getfixturevalue(request.param)
    if NIC not in chosen.natives:
        chosen.device(NIC)
    chosen.commands.clear()
    return chosen


def test_held_proven_and_released_without_a_trace(chroot: Chroot) -> None:
    before = listing(chroot)
    untouched = checksum(chroot.image)

    assert vfio_bind(chroot, "present").data["initramfs_stale"]
    foretold = initramfs(chroot, check=True)
    assert foretold.changed
    assert checksum(chroot.image) == untouched
    assert builds(chroot) == 0

    outcome = initramfs(chroot)
    assert outcome.changed
    (image,) = outcome.data["images"]
    proven = "\n".join(image["proven"])
    hook = HOOKS[chroot.base.name]
    for expected in (TABLE_PATH, SCRIPT_PATH, hook, "module vfio_pci", "module vfio_iommu_type1", "module irqbypass"):
        assert expected in proven
    # Below Linux 6.2 it comes as a dependency; from 6.2 on nobody asks for it.
    assert ("module vfio_virqfd" in proven) == chroot.kernel.startswith("6.1.")
    assert not vfio_bind(chroot, "present").data["initramfs_stale"]
    assert not (chroot.base / new_name(f"/boot/{chroot.image.name}").lstrip("/")).exists()

    held = listing(chroot, ["etc/virtfleet-passthrough/*", hook])
    assert held.contents[TABLE_PATH.lstrip("/")] == (chroot.base / TABLE_PATH.lstrip("/")).read_bytes()
    assert sorted(own_listing(chroot)) == sorted(held.names)
    if chroot.base.name == "debian12":
        order = listing(chroot, ["scripts/init-top/ORDER"]).contents["scripts/init-top/ORDER"].decode()
        assert order.index("00-virtfleet-vfio") < order.index("init-top/udev")

    # Nothing changed since: no process is started, not even to look.
    chroot.commands.clear()
    assert not initramfs(chroot).changed
    facts = read_state(chroot.root, chroot.run, Ledger.read(chroot.root), {})
    assert TABLE_PATH.lstrip("/") in facts["images"][0]["content"]["files"]
    assert chroot.commands == []

    # A replaced image is looked into, and found to be right.
    os.utime(chroot.image)
    assert not initramfs(chroot).changed
    assert builds(chroot) == 0

    assert vfio_bind(chroot, "absent").data["initramfs_stale"]
    assert initramfs(chroot).changed
    assert listing(chroot).names == before.names
    assert not (chroot.base / LEDGER_PATH.lstrip("/")).exists()
    assert not initramfs(chroot).changed


def own_listing(chroot: Chroot) -> set[str]:
    """The names according to the generator's own tool, without the root directory."""
    image = f"/boot/{chroot.image.name}"
    if chroot.base.name == "debian12":
        names = {line.strip("/") for line in chroot.output("lsinitramfs", image).splitlines()}
        return {name for name in names if name not in ("", ".")} | {"."}
    lines = chroot.output("lsinitrd", image).splitlines()
    matches = (LSINITRD_LINE.fullmatch(line) for line in lines)
    return {match.group(1).split(" -> ")[0] for match in matches if match is not None}


# A part of the build that somebody else has broken, by tree: its file, and what is in it.
BROKEN = {
    "debian12": (
        "etc/initramfs-tools/hooks/broken",
        '#!/bin/sh\n[ "$1" != prereqs ] || exit 0\necho "this hook is broken" >&2\nexit 1\n',
    ),
    "debian13": (
        "usr/lib/dracut/modules.d/99broken/module-setup.sh",
        "check() {\n  return 0\n}\ninstall() {\n  dfatal 'this module is broken'\n  exit 1\n}\n",
    ),
}


def test_a_failing_hook_leaves_the_old_image(chroot: Chroot) -> None:
    untouched, names = checksum(chroot.image), sorted(path.name for path in chroot.image.parent.iterdir())
    path, text = BROKEN[chroot.base.name]
    hook = chroot.base / path
    hook.parent.mkdir(exist_ok=True)
    hook.write_text(text)
    hook.chmod(0o755)
    vfio_bind(chroot, "present")
    try:
        with pytest.raises(ToolError, match=r"Building the initramfs .* failed.*is broken"):
            initramfs(chroot)
        assert checksum(chroot.image) == untouched
        assert sorted(path.name for path in chroot.image.parent.iterdir()) == names
    finally:
        hook.unlink()
        vfio_bind(chroot, "absent")


def test_what_modprobe_is_told_is_in_the_image(chroot: Chroot) -> None:
    """As another component would install it; dracut leaves modprobe.d out of images that are not for one host."""
    before = listing(chroot)
    vfio_bind(chroot, "present")
    path, content = "/etc/modprobe.d/virtfleet-options.conf", b"options vfio-pci disable_vga=1\n"
    with locked(chroot.root) as ledger:
        _owned.install(chroot.root, ledger, "vfio_options", _owned.OwnedFile(path, content))
    initramfs(chroot)
    assert listing(chroot, [path.lstrip("/")]).contents == {path.lstrip("/"): content}
    with locked(chroot.root) as ledger:
        _owned.release(chroot.root, ledger, path)
    assert initramfs(chroot).changed
    assert path.lstrip("/") not in listing(chroot).names
    vfio_bind(chroot, "absent")
    initramfs(chroot)
    assert listing(chroot).names == before.names


@pytest.mark.parametrize("seconds", [0.1, 0.5, 1])
def test_a_generator_that_is_killed_leaves_the_old_image(chroot: Chroot, seconds: float) -> None:
    untouched, names = checksum(chroot.image), sorted(path.name for path in chroot.image.parent.iterdir())
    vfio_bind(chroot, "present")

    def killed(argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        return chroot.run(
            ["timeout", "--signal=KILL", str(seconds), *argv] if not BUILDERS.isdisjoint(argv) else argv, cwd
        )

    module: t.Any = Module(False, generator="auto", kernels=["all"], require=None, planned_files=None, staged=False)
    try:
        with pytest.raises(ToolError, match="ended with exit status"):
            prove_and_rebuild(module, killed, root=chroot.root)
        assert checksum(chroot.image) == untouched
        assert sorted(path.name for path in chroot.image.parent.iterdir()) == names
    finally:
        vfio_bind(chroot, "absent")


@pytest.mark.parametrize("asked_before", [True, False])
def test_a_boot_partition_that_is_full(chroot: Chroot, monkeypatch: pytest.MonkeyPatch, asked_before: bool) -> None:
    """Room for one image and a half: seen before the build, and survived where something else fills it meanwhile."""
    boot, kept = chroot.image.parent, chroot.base / "boot.kept"
    size = sum(path.stat().st_size for path in boot.iterdir()) + chroot.image.stat().st_size // 2
    shutil.copytree(boot, kept, symlinks=True)
    vfio_bind(chroot, "present")
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(boot)], check=True)
    try:
        shutil.copytree(kept, boot, symlinks=True, dirs_exist_ok=True)
        untouched, names = checksum(chroot.image), sorted(path.name for path in boot.iterdir())
        if not asked_before:
            monkeypatch.setattr(rebuild, "shortages", lambda *_args: [])
        with pytest.raises((HostStateError, ToolError, OSError)) as raised:
            initramfs(chroot)
        assert ("make room there" in str(raised.value)) == asked_before
        assert builds(chroot) == (0 if asked_before else 1)
        assert checksum(chroot.image) == untouched
        assert sorted(path.name for path in boot.iterdir()) == names
    finally:
        subprocess.run(["umount", str(boot)], check=True)
        shutil.rmtree(kept)
        vfio_bind(chroot, "absent")


@pytest.fixture
def second_kernel(chroot: Chroot) -> Iterator[str]:
    """Another kernel beside the first, with modules and an image of its own."""
    name = f"{chroot.kernel}-second"
    modules, boot = chroot.base / "lib/modules", chroot.base / "boot"
    subprocess.run(["cp", "-al", modules / chroot.kernel, modules / name], check=True)
    copies = [
        (boot / f"{kind}-{chroot.kernel}", boot / f"{kind}-{name}") for kind in ("vmlinuz", "config", "initrd.img")
    ]
    for original, copy in copies:
        shutil.copy2(original, copy)
    yield name
    shutil.rmtree(modules / name)
    for _original, copy in copies:
        copy.unlink()


@pytest.mark.parametrize("depmod_knows", [True, False])
def test_a_module_that_one_of_two_kernels_lacks(chroot: Chroot, second_kernel: str, depmod_knows: bool) -> None:
    """Refused before the first build where the kernel's list tells; else the proof keeps the image of that kernel."""
    second = chroot.image.with_name(f"initrd.img-{second_kernel}")
    untouched, names = checksum(chroot.image), sorted(path.name for path in chroot.image.parent.iterdir())
    (file,) = (chroot.base / "lib/modules" / second_kernel).rglob("vfio-pci.ko*")
    file.unlink()
    if depmod_knows:
        chroot.output("depmod", second_kernel)
    vfio_bind(chroot, "present")
    try:
        with pytest.raises((HostStateError, ToolError)) as raised:
            initramfs(chroot)
        assert second_kernel in str(raised.value)
        assert "vfio_pci" in str(raised.value) or "vfio-pci" in str(raised.value)
        assert checksum(second) == untouched
        assert sorted(path.name for path in chroot.image.parent.iterdir()) == names
        if depmod_knows:
            assert builds(chroot) == 0
            assert checksum(chroot.image) == untouched
        else:
            # The other kernel's image is whole and has everything.
            assert {"vfio_pci", "vfio_iommu_type1"} <= listing(chroot).modules
            assert TABLE_PATH.lstrip("/") in listing(chroot).names
    finally:
        file.parent.mkdir(exist_ok=True)
        os.link(next((chroot.base / "lib/modules" / chroot.kernel).rglob(file.name)), file)
        chroot.output("depmod", second_kernel)
        vfio_bind(chroot, "absent")
        initramfs(chroot)
    assert listing(chroot).names == read_image(chroot.root, chroot.run, f"/boot/{second.name}", ()).names


@pytest.mark.parametrize("staged", [True, False])
def test_no_hook_takes_an_image_that_is_not_in_place(chroot: Chroot, staged: bool) -> None:
    """Debian's dracut calls them for whatever it writes: systemd-boot's makes it what boots by default."""
    hook, told = chroot.base / "etc/initramfs/post-update.d/test-told", chroot.base / "told"
    hook.parent.mkdir(parents=True, exist_ok=True)
    hook.write_text('#!/bin/sh\necho "$2" >>/told\n')
    hook.chmod(0o755)
    vfio_bind(chroot, "present")
    try:
        result = initramfs(chroot, staged=staged)
        assert result.changed
        # Of one in place whoever copies it may be told.
        assert set(told.read_text().split() if told.exists() else ()) <= (
            set() if staged else {f"/boot/{chroot.image.name}"}
        )
    finally:
        hook.unlink()
        told.unlink(missing_ok=True)
        vfio_bind(chroot, "absent")
        initramfs(chroot)


def test_udev_understands_the_rule(debian13: Chroot) -> None:
    if NIC not in debian13.natives:
        debian13.device(NIC)
    vfio_bind(debian13, "present")
    try:
        verdict = debian13.run(["udevadm", "verify", "--no-style", UDEV_RULE_PATH])
        assert verdict.rc == 0, verdict.stdout + verdict.stderr
    finally:
        vfio_bind(debian13, "absent")
