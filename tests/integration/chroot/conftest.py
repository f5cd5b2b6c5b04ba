# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Debian trees with real kernels, initramfs generators and GRUB, built once by mmdebstrap and kept in the cache."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import CommandResult
from tests.unit.plugins.fake_kernel import FakeKernel

if TYPE_CHECKING:
    from collections.abc import Sequence

CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "virtfleet-passthrough" / "chroots"
MMDEBSTRAP_TIMEOUT = 900
BUILD_TIMEOUT = 300

# What a lab host has: few modules and the cheapest packing, so that a build takes seconds.
INITRAMFS_TOOLS_SETTINGS = "MODULES=list\nCOMPRESS=lz4\n"
DRACUT_SETTINGS = """\
hostonly="no"
hostonly_cmdline="no"
compress="zstd"
drivers=" virtio_pci virtio_blk ext4 "
filesystems=" ext4 "
"""


# As the root of a machine, a tree is a mount point: only then can a program inside have mounts of its own.
_ENTER = 'mount --rbind "$1" "$1" && exec chroot "$@"'


@dataclasses.dataclass(frozen=True)
class Recipe:
    """What a tree is made of; its hash names the tree in the cache."""

    name: str
    suite: str
    packages: tuple[str, ...]
    settings_path: str = ""
    settings: str = ""
    # Makes an initramfs that knows the settings; none where the tree has no kernel.
    build: str = ""

    @property
    def key(self) -> str:
        return f"{self.name}-{hashlib.sha256(repr(dataclasses.astuple(self)).encode()).hexdigest()[:12]}"


DEBIAN_12 = Recipe(
    "debian12",
    "bookworm",
    ("initramfs-tools", "linux-image-amd64", "kmod", "udev", "lz4", "busybox", "grub2-common"),
    "etc/initramfs-tools/conf.d/test",
    INITRAMFS_TOOLS_SETTINGS,
    "mkinitramfs -o {image} {kernel}",
)
DEBIAN_13 = Recipe(
    "debian13",
    "trixie",
    (
        "dracut",
        "linux-image-amd64",
        "kmod",
        "udev",
        "systemd",
        "zstd",
        "grub2-common",
        "systemd-boot",
        "systemd-boot-efi",
        "systemd-ukify",
    ),
    "etc/dracut.conf.d/90-test.conf",
    DRACUT_SETTINGS,
    "dracut --force --quiet {image} {kernel}",
)
# A menu needs the names of kernels only, which the test puts there.
DEBIAN_12_U_BOOT = Recipe("debian12-u-boot", "bookworm", ("u-boot-menu",))
DEBIAN_13_U_BOOT = Recipe("debian13-u-boot", "trixie", ("u-boot-menu",))


def pytest_configure(config: pytest.Config) -> None:
    config.addinivalue_line("markers", "chroot: runs a distribution's real tools in a tree of their own (root)")


class Chroot(FakeKernel):
    """One tree with a fake kernel's ``/sys`` and ``/proc`` in it; ``run`` starts programs inside."""

    def __init__(self, base: Path) -> None:
        super().__init__(base)
        self.timed: list[tuple[str, float]] = []

    def run(self, argv: Sequence[str], cwd: str | None = None) -> CommandResult:
        self.commands.append(tuple(argv))
        started = time.monotonic()
        done = subprocess.run(
            ["unshare", "--mount", "sh", "-c", _ENTER, "sh", str(self.base), *argv],
            check=False,
            capture_output=True,
            text=True,
            timeout=BUILD_TIMEOUT,
            env={"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL": "C"},
        )
        self.timed.append((argv[0], time.monotonic() - started))
        return CommandResult(tuple(argv), done.returncode, done.stdout, done.stderr)

    def output(self, *argv: str) -> str:
        """What a program prints that must succeed."""
        result = self.run(argv)
        assert result.rc == 0, f"{argv}: {result.stderr}"
        return result.stdout

    @property
    def kernel(self) -> str:
        return next(path.name.split("-", 1)[1] for path in sorted((self.base / "boot").glob("vmlinuz-*")))

    @property
    def image(self) -> Path:
        return self.base / f"boot/initrd.img-{self.kernel}"


def _build(recipe: Recipe) -> Path:
    target = CACHE / recipe.key
    if target.is_dir():
        return target
    if os.geteuid() != 0 or shutil.which("mmdebstrap") is None:
        pytest.fail("these tests need root and the Debian package mmdebstrap (make test installs it)")
    CACHE.mkdir(parents=True, exist_ok=True)
    unfinished = CACHE / f".{recipe.key}.{os.getpid()}"
    command = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(recipe.packages)}",
        "--dpkgopt=path-exclude=/usr/share/doc/*",
        "--dpkgopt=path-exclude=/usr/share/man/*",
        recipe.suite,
        str(unfinished),
    ]
    print(f"building {target}, about two minutes: {' '.join(command)}")
    try:
        done = subprocess.run(command, check=False, capture_output=True, text=True, timeout=MMDEBSTRAP_TIMEOUT)
        if done.returncode != 0:
            last = "\n".join(done.stderr.splitlines()[-15:])
            pytest.fail(f"mmdebstrap could not build {recipe.name} (network, disk space?):\n{last}")
        if recipe.build:
            (unfinished / recipe.settings_path).write_text(recipe.settings)
            _make_first_image(unfinished, recipe)
        unfinished.rename(target)
    finally:
        shutil.rmtree(unfinished, ignore_errors=True)
    return target


def _make_first_image(tree: Path, recipe: Recipe) -> None:
    """The image that the packages made knows nothing of the settings yet."""
    kernel = next(path.name.split("-", 1)[1] for path in (tree / "boot").glob("vmlinuz-*"))
    image = f"/boot/initrd.img-{kernel}"
    command = recipe.build.format(image=image, kernel=kernel).split()
    done = subprocess.run(
        ["chroot", str(tree), *command], check=False, capture_output=True, text=True, timeout=BUILD_TIMEOUT
    )
    if done.returncode != 0:
        pytest.fail(f"{command} failed in {tree}:\n{done.stderr[-2000:]}")


def _open_copy(recipe: Recipe, where: Path) -> Iterator[Chroot]:
    """A copy to change at will, gone afterwards."""
    tree = where / recipe.name
    subprocess.run(["cp", "-a", "--reflink=auto", str(_build(recipe)), str(tree)], check=True)
    # The real ones of this machine were never mounted there; the fake kernel brings its own.
    yield Chroot(tree)
    shutil.rmtree(tree)


@pytest.fixture(scope="module")
def debian12(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    yield from _open_copy(DEBIAN_12, tmp_path_factory.mktemp("chroot"))


@pytest.fixture(scope="module")
def debian13(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    yield from _open_copy(DEBIAN_13, tmp_path_factory.mktemp("chroot"))


@pytest.fixture(scope="module")
def debian12_u_boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    yield from _open_copy(DEBIAN_12_U_BOOT, tmp_path_factory.mktemp("chroot"))


@pytest.fixture(scope="module")
def debian13_u_boot(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Chroot]:
    yield from _open_copy(DEBIAN_13_U_BOOT, tmp_path_factory.mktemp("chroot"))
