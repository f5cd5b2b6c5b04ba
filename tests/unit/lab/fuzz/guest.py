# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a guest writes to its serial port, made here; and machines small enough to know their groups by heart."""

from __future__ import annotations

import base64
import gzip
import hashlib
import io
import tarfile
from collections.abc import Mapping
from dataclasses import replace

from lab.fuzz.capture import Capture, Function

ROOT_BUS = "/sys/devices/pci0000:00"
UNCOVERED = "0000:40:00.0"


def function(
    path: str,
    group: str,
    config: bytes = bytes(64),
    *,
    physfn: str = "",
    class_code: str = "0x020000",
    **attributes: str,
) -> Function:
    """A conventional endpoint, where nothing else is said; ``path`` is below the root bus."""
    ids = {"vendor": "0x8086", "device": "0x100e", "subsystem_vendor": "0x1af4", "subsystem_device": "0x1100"}
    return Function(config, f"{ROOT_BUS}/{path}", group, physfn, {"class": class_code, **ids, **attributes})


def bridged() -> Capture:
    """Two functions behind a conventional bridge, in one group with it, and one beside it in its own."""
    bridge = bytearray(256)
    bridge[0x0E] = 1
    return Capture(
        kernel="6.1.0-56-amd64",
        cmdline="console=ttyS0 quiet",
        functions={
            "0000:00:01.0": function("0000:00:01.0", "0"),
            "0000:00:02.0": function("0000:00:02.0", "1", bytes(bridge), class_code="0x060400"),
            "0000:01:03.0": function("0000:00:02.0/0000:01:03.0", "1", reset_method="pm"),
            "0000:01:04.0": function("0000:00:02.0/0000:01:04.0", "1"),
        },
    )


def partly_covered() -> Capture:
    """The same, and a function on an extra root bus that the IOMMU does not cover."""
    seen = bridged()
    alone = replace(function("", ""), path=f"/sys/devices/pci0000:40/{UNCOVERED}")
    return replace(seen, functions={**seen.functions, UNCOVERED: alone})


def payload(capture: Capture, *, without: str = "") -> bytes:
    """The archive that the guest makes of what it finds; ``without`` names a file that is missing."""
    paths, links, attributes, files = [], [], [], {}
    for address, item in sorted(capture.functions.items()):
        paths.append(item.path)
        if item.group:
            links.append(_link(f"{address}/iommu_group", f"../../../kernel/iommu_groups/{item.group}"))
        if item.physfn:
            links.append(_link(f"{address}/physfn", f"../{item.physfn}"))
        attributes += [f"{address}/{name}:{value}" for name, value in item.attributes.items()]
        files[f"config/{address}"] = item.config
    texts = {
        "paths": paths,
        "links": links,
        "attributes": attributes,
        "release": [capture.kernel],
        "cmdline": [capture.cmdline],
    }
    files |= {name: "".join(f"{line}\n" for line in lines).encode() for name, lines in texts.items()}
    return gzip.compress(_tar({name: content for name, content in files.items() if name != without}))


def _link(name: str, target: str) -> str:
    return f"lrwxrwxrwx    1 0        0                0 Nov 20 12:00 {name} -> {target}"


def _tar(files: Mapping[str, bytes]) -> bytes:
    target = io.BytesIO()
    with tarfile.open(fileobj=target, mode="w") as archive:
        for name, content in files.items():
            entry = tarfile.TarInfo(f"./{name}")
            entry.size = len(content)
            archive.addfile(entry, io.BytesIO(content))
    return target.getvalue()


def frames(content: bytes) -> list[str]:
    """The lines on the serial port."""
    data = base64.encodebytes(content).decode("ascii").splitlines()
    return [f"@begin {hashlib.sha256(content).hexdigest()}", *(f"@ {line}" for line in data), "@end"]


def serial(content: bytes) -> str:
    return "".join(f"{line}\r\n" for line in frames(content))
