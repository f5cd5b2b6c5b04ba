# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints, as JSON, what lies on a host: runs there, so it needs nothing but Python's standard library.

Contents of /etc, /boot and /var/lib are hashed; below /usr size and modification time tell as much and cost
less. Images of the initramfs differ in their time stamps with every build, so their lists of names count.
With directories as arguments it takes those instead, and every file in them by its content.
"""

from __future__ import annotations

import hashlib
import json
import os
import re
import stat
import subprocess
import sys

TOPS = ("/etc", "/boot", "/usr", "/var/lib")
# What a running system writes by itself.
VOLATILE = (
    "/etc/machine-id",
    "/var/lib/systemd",
    "/var/lib/libvirt",
    # What libvirt's daemon makes and completes when it first starts: UUIDs, a directory for secrets.
    "/etc/libvirt/nwfilter",
    "/etc/libvirt/qemu/networks",
    "/etc/libvirt/secrets",
    "/var/lib/dbus",
    "/var/lib/virtfleet-demo",
    "/boot/efi",
)
IMAGES = "/boot/initrd.img-"
# A line of a long listing: permissions, links, owner, group, size (two numbers of a device), date, name.
LONG_LISTING = re.compile(rb"[-bcdlps][-rwxsStT]{9}\s.*?\s[A-Z][a-z]{2}\s+\d{1,2}\s+[\d:]{4,5}\s(.+)")


def content(path: str, status: os.stat_result, exact: bool) -> str:
    if stat.S_ISLNK(status.st_mode):
        return "-> " + os.readlink(path)
    if not stat.S_ISREG(status.st_mode):
        return ""
    if path.startswith(IMAGES) and not exact:
        return "image"
    if path.startswith("/usr/") and not exact:
        return f"{status.st_size} {status.st_mtime_ns}"
    with open(path, "rb") as stream:
        return hashlib.sha256(stream.read()).hexdigest()


def image_names(path: str) -> list[str]:
    # initramfs-tools' lister prints bare names, dracut's a report with a long listing in it.
    for lister, names_in in (("lsinitramfs", bytes.splitlines), ("lsinitrd", listed_names)):
        try:
            listing = subprocess.run(
                [lister, path], stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, check=True
            ).stdout
        except (FileNotFoundError, subprocess.CalledProcessError):
            continue
        return [os.fsdecode(name) for name in names_in(listing)]
    return ["no lister"]


def listed_names(report: bytes) -> list[bytes]:
    matches = (LONG_LISTING.fullmatch(line) for line in report.splitlines())
    return [match[1] for match in matches if match is not None]


def main(asked: list[str]) -> None:
    found: dict[str, str] = {}
    for top in asked or TOPS:
        for directory, directories, files in os.walk(top):
            directories[:] = [name for name in directories if os.path.join(directory, name) not in VOLATILE]
            for name in directories + files:
                path = os.path.join(directory, name)
                if path in VOLATILE:
                    continue
                status = os.lstat(path)
                found[path] = f"{status.st_mode:o} {status.st_uid}:{status.st_gid} {content(path, status, bool(asked))}"
                if not asked and path.startswith(IMAGES):
                    found.update((f"{path} holds {inner}", "") for inner in image_names(path))
    print(json.dumps(found))


if __name__ == "__main__":
    main(sys.argv[1:])
