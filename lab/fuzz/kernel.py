# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""A Debian kernel, one module of it and a static busybox, fetched once per suite and kept in the cache."""

from __future__ import annotations

import lzma
import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from lab.errors import LabError
from lab.locking import locked
from lab.paths import cache
from lab.progress import require_space, require_tools, run, say
from lab.recipe import mirrors

# Suites and the version of the kernel in each.
SUITES: Mapping[str, tuple[int, int]] = {"bookworm": (6, 1), "trixie": (6, 12)}
# Lets any PF have its VFs, without a driver for what the PF is (the kernel's drivers/pci/pci-pf-stub.c).
PF_MODULE = "pci-pf-stub.ko"
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_TOOLS = {"apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg"}
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
    require_tools(what, _TOOLS)
    if not _KEYRING.exists():
        raise LabError(f"{what}: {_KEYRING} is missing", cause="missing Debian package debian-archive-keyring")
    require_space(what, base, 2)
    log = base / f"{kernel.suite}.log"
    log.unlink(missing_ok=True)
    say(f"{what}: fetching 70 to 110 MB, usually 20 to 60 s, once; log: {log}")
    for left in base.glob(f"fetch-{kernel.suite}-*"):
        # Of a fetch that was killed: the caller holds the suite's lock, so none of them lives.
        shutil.rmtree(left, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f"fetch-{kernel.suite}-", dir=base))
    try:
        apt = _Apt(kernel.suite, work, log)
        image = apt.dependency("linux-image-amd64", r"linux-image-[0-9][^ ,]*")
        tree = work / "tree"
        for package in (image, "busybox-static"):
            run(f"{what}: unpacking {package}", ["dpkg-deb", "-x", apt.download(package), tree], log=log, limit=300)
        made = work / "made"
        made.mkdir()
        shutil.copy(_only(tree, "boot/vmlinuz-*"), made / "vmlinuz")
        shutil.copy(_only(tree, "**/bin/busybox"), made / "busybox")
        (made / PF_MODULE).write_bytes(_module(_only(tree, f"**/drivers/pci/{PF_MODULE}*")))
        (made / "package").write_text(f"{image} {apt.version(image)}\n", encoding="ascii")
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


class _Apt:
    """Debian's package tools on lists of their own, so that no source of this machine counts and none changes."""

    def __init__(self, suite: str, work: Path, log: Path) -> None:
        self._work, self._log, self._suite = work, log, suite
        lists = work / "apt"
        for name in ("state/lists/partial", "cache/archives/partial", "etc"):
            (lists / name).mkdir(parents=True)
        (lists / "status").touch()
        main, security = mirrors()
        sources = ((main, suite), (main, f"{suite}-updates"), (security, f"{suite}-security"))
        (lists / "etc/sources.list").write_text(
            "".join(f"deb [arch=amd64 signed-by={_KEYRING}] {mirror} {name} main\n" for mirror, name in sources),
            encoding="utf-8",
        )
        settings = {
            "Dir::State": lists / "state",
            "Dir::State::status": lists / "status",
            "Dir::Cache": lists / "cache",
            "Dir::Etc::sourcelist": lists / "etc/sources.list",
            "Dir::Etc::sourceparts": "/dev/null",
            "APT::Architecture": "amd64",
            "Acquire::Languages": "none",
            # The directory is private to this user: apt's own unprivileged one could not write there.
            "APT::Sandbox::User": "",
        }
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        run(f"kernel of {suite}: package lists", ["apt-get", *self._options, "update"], log=log, limit=300)

    def _field(self, package: str, field: str) -> str:
        command = ["apt-cache", *self._options, "show", "--no-all-versions", package]
        done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, env=_plain())
        found = re.search(rf"^{field}: (.*)$", done.stdout, re.MULTILINE)
        if found is None:
            raise LabError(f"{self._suite} has no package {package} with a {field}", cause="an incomplete mirror")
        return found[1]

    def dependency(self, package: str, pattern: str) -> str:
        """Give the first dependency whose name matches."""
        found = re.search(pattern, depends := self._field(package, "Depends"))
        if found is None:
            raise LabError(f"{package} of {self._suite} depends on no {pattern}, but on: {depends}")
        return found[0]

    def version(self, package: str) -> str:
        return self._field(package, "Version")

    def download(self, package: str) -> Path:
        target = self._work / "download" / package
        target.mkdir(parents=True)
        # apt-get download puts the file where it is started; env changes the directory before that.
        command = ["env", f"--chdir={target}", "apt-get", *self._options, "download", package]
        run(f"kernel of {self._suite}: downloading {package}", command, log=self._log, limit=600)
        return _only(target, "*.deb")


def _plain() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
