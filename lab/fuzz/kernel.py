# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Debian kernel, one module of it and a static busybox, fetched once per suite and kept in the cache."""

from __future__ import annotations

import lzma
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab import apt
from lab.apt import Apt
from lab.errors import LabError
from lab.locking import locked
from lab.paths import cache
from lab.progress import require_space, require_tools, say

# Suites and the version of the kernel in each.
SUITES: Mapping[str, tuple[int, int]] = {"bookworm": (6, 1), "trixie": (6, 12)}
# Lets any PF have its VFs, without a driver for what the PF is (the kernel's drivers/pci/pci-pf-stub.c).
PF_MODULE = "pci-pf-stub.ko"
# Goes up when another file is kept, so that an older cache entry is made anew.
_LAYOUT = 1


@dataclass(frozen=True)
class Kernel:
    """What a boot needs, in one directory."""

    suite: str
    directory: Path

    @property
    def image(self) -> Path:
        return self.directory / "vmlinuz"

    @property
    def busybox(self) -> Path:
        return self.directory / "busybox"

    @property
    def pf_module(self) -> Path:
        return self.directory / PF_MODULE

    @property
    def package(self) -> str:
        return (self.directory / "package").read_text(encoding="ascii").strip()

    @property
    def knows_config_acs(self) -> bool:
        """Whether ``pci=config_acs=`` means anything to it (Linux 6.11)."""
        return SUITES[self.suite] >= (6, 11)


def path(suite: str) -> Path:
    """Give where the kernel of a suite is or would be."""
    return cache() / "kernels" / f"{suite}-{_LAYOUT}"


def ensure(suite: str, *, refresh: bool = False) -> Kernel:
    """Give the cached kernel of a suite; the first time, or to ``refresh`` it, the newest one is fetched."""
    kernel = Kernel(suite, path(suite))
    base = kernel.directory.parent
    base.mkdir(parents=True, exist_ok=True)
    with locked(base / f"{suite}.lock", f"kernel of {suite}", limit=900):
        if refresh or not kernel.directory.exists():
            _fetch(kernel, base)
    return kernel


def _fetch(kernel: Kernel, base: Path) -> None:
    what = f"kernel of {kernel.suite}"
    require_tools(what, apt.TOOLS)
    require_space(what, base, 2)
    log = base / f"{kernel.suite}.log"
    log.unlink(missing_ok=True)
    say(f"{what}: fetching 70 to 110 MB, usually 20 to 60 s, once; log: {log}")
    for left in base.glob(f"fetch-{kernel.suite}-*"):
        # Of a fetch that was killed: the caller holds the suite's lock, so none of them lives.
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"fetch-{kernel.suite}-", dir=base))
    try:
        debian = Apt(what, kernel.suite, work, log)
        image = debian.dependency("linux-image-amd64", r"linux-image-[0-9][^ ,]*")
        tree = work / "tree"
        for package in (image, "busybox-static"):
            debian.unpack([debian.download(package)], tree)
        made = work / "made"
        made.mkdir()
        shutil.copy(_only(tree, "boot/vmlinuz-*"), made / "vmlinuz")
        shutil.copy(_only(tree, "**/bin/busybox"), made / "busybox")
        (made / PF_MODULE).write_bytes(_module(_only(tree, f"**/drivers/pci/{PF_MODULE}*")))
        (made / "package").write_text(f"{image} {debian.version(image)}\n", encoding="ascii")
        shutil.rmtree(kernel.directory, ignore_errors=True)
        made.rename(kernel.directory)
    finally:
        shutil.rmtree(work, ignore_errors=True)
    say(f"{what}: {kernel.package}")


def _only(tree: Path, pattern: str) -> Path:
    found = sorted(tree.glob(pattern))
    if len(found) != 1:
        raise LabError(f"{len(found)} files are named {pattern} in the packages, expected one")
    return found[0]


def _module(path: Path) -> bytes:
    content = path.read_bytes()
    # Newer Debian packs its modules, and busybox's insmod takes them unpacked only.
    return lzma.decompress(content) if path.suffix == ".xz" else content
