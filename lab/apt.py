# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Packages of any Debian suite, fetched and unpacked without being installed; root is not needed."""

from __future__ import annotations

import os
import re
import subprocess
from collections.abc import Sequence
from pathlib import Path

from lab.errors import LabError
from lab.progress import run
from lab.recipe import mirrors

TOOLS = {"apt-get": "apt", "apt-cache": "apt", "dpkg-deb": "dpkg"}
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")


class Apt:
    """Debian's package tools on lists of their own, so that no source of this machine counts and none changes.

    ``what`` begins every message; ``work`` is a directory to fill and throw away.
    """

    def __init__(self, what: str, suite: str, work: Path, log: Path) -> None:
        if not _KEYRING.exists():
            raise LabError(f"{what}: {_KEYRING} is missing", cause="missing Debian package debian-archive-keyring")
        self._what, self._suite, self._work, self._log = what, suite, work, log
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
            "APT::Install-Recommends": "false",
            "Acquire::Languages": "none",
            # The directory is private to this user: apt's own unprivileged one could not write there.
            "APT::Sandbox::User": "",
        }
        self._archives = lists / "cache/archives"
        self._options = [word for key, value in settings.items() for word in ("-o", f"{key}={value}")]
        run(f"{what}: package lists", ["apt-get", *self._options, "update"], log=log, limit=300)

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
        """Fetch one package alone."""
        target = self._work / "download" / package
        target.mkdir(parents=True)
        # apt-get download puts the file where it is started; env changes the directory before that.
        command = ["env", f"--chdir={target}", "apt-get", *self._options, "download", package]
        run(f"{self._what}: downloading {package}", command, log=self._log, limit=600)
        found = list(target.glob("*.deb"))
        if len(found) != 1:
            raise LabError(f"{self._what}: downloading {package} gave {len(found)} files", log=self._log)
        return found[0]

    def download_complete(self, package: str) -> list[Path]:
        """Fetch a package and everything that it needs, the C library included: nothing counts as installed."""
        command = ["apt-get", *self._options, "--yes", "--download-only", "install", package]
        run(f"{self._what}: downloading {package} and what it needs", command, log=self._log, limit=900)
        return sorted(self._archives.glob("*.deb"))

    def unpack(self, packages: Sequence[Path], tree: Path) -> None:
        """Unpack into a directory tree, without any of the packages' scripts."""
        for package in packages:
            run(f"{self._what}: unpacking {package.name}", ["dpkg-deb", "-x", package, tree], log=self._log, limit=300)


def _plain() -> dict[str, str]:
    return {**os.environ, "LC_ALL": "C"}
