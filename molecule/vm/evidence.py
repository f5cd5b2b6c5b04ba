# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Prints, as JSON, what the scenario judges: looked up on the host without any code of the collection."""

from __future__ import annotations

import json
import re
import subprocess
from pathlib import Path

IMAGE_LINE = re.compile(r"[-dlcb][-rwxsStT]{9} .* [A-Z][a-z]{2} +[0-9]+ +(?:[0-9]{2}:[0-9]{2}|[0-9]{4}) (.+)")
IMAGE_MARK = "virtfleet"


def output(*argv: str) -> list[str]:
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    return done.stdout.splitlines()


def drivers() -> dict[str, str]:
    links = Path("/sys/bus/pci/devices").glob("*/driver")
    return {link.parent.name: link.resolve().name for link in links}


def pages() -> dict[str, int]:
    found = Path("/sys/devices/system/node").glob("node*/hugepages/hugepages-2048kB/nr_hugepages")
    return {path.parents[2].name: int(path.read_text()) for path in found}


def image_names(path: Path) -> list[str]:
    # Like "ls -l", where the name follows the time; what dracut says about the image stands around these lines.
    matches = (IMAGE_LINE.fullmatch(line) for line in output("lsinitrd", str(path)))
    return sorted(match[1] for match in matches if match)


def main() -> None:
    images = {str(path): image_names(path) for path in Path("/boot").glob("initrd.img-*")}
    found = {
        "cmdline": Path("/proc/cmdline").read_text().split(),
        "drivers": drivers(),
        "log": [line for line in output("dmesg") if "virtfleet-passthrough" in line or "e1000e" in line],
        "pages": pages(),
        "isolated": Path("/sys/devices/system/cpu/isolated").read_text().strip(),
        "domains": [name for name in output("virsh", "--readonly", "list", "--all", "--name") if name],
        "domain_state": output("virsh", "--readonly", "domstate", "scenario")[:1],
        "images": images,
        "ours_in_images": [name for names in images.values() for name in names if IMAGE_MARK in name],
        "boot_id": Path("/proc/sys/kernel/random/boot_id").read_text().strip(),
    }
    print(json.dumps(found))


main()
