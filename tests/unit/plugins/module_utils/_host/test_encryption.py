# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import base64
import json
from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._host.encryption import (
    display_modules,
    read_encryption,
    read_tokens,
    sealed_to,
)


def header(tokens: dict[str, Any], *, version: int = 2, size: int = 16384) -> bytes:
    """A LUKS header as cryptsetup writes it: the binary one, then JSON that zeros fill up."""
    binary = b"LUKS\xba\xbe" + version.to_bytes(2, "big") + size.to_bytes(8, "big")
    area = json.dumps({"keyslots": {}, "tokens": tokens}).encode()
    return binary.ljust(4096, b"\0") + area.ljust(size - 4096, b"\0") + b"payload"


def jwe(clevis: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps({"clevis": clevis}).encode()).decode().rstrip("=")


SYSTEMD: dict[str, Any] = {"type": "systemd-tpm2", "tpm2-pcrs": [7, 11]}
TPM = {"pin": "tpm2", "tpm2": {"pcr_bank": "sha256", "pcr_ids": "4,7"}}
CLEVIS = {"type": "clevis", "jwe": {"protected": jwe(TPM)}}
SHARED = {
    "type": "clevis",
    "jwe": {"protected": jwe({"pin": "sss", "sss": {"t": 1, "jwe": [jwe(TPM) + ".a.b.c", jwe({"pin": "tang"})]}})},
}


class EncryptedHost:
    """``/`` on a logical volume in ``/dev/vda3``, which is encrypted."""

    def __init__(self, base: Path) -> None:
        self.base = base
        self.root = Root(str(base))
        self.put("proc/self/mountinfo", "26 1 253:1 / / rw - ext4 /dev/mapper/vg-root rw\n")
        self.mapped("dm-1", "vg-root", "LVM-abc", "dm-0")
        self.mapped("dm-0", "luks-1", "CRYPT-LUKS2-abc-luks-1", "vda3")
        self.put("sys/class/block/vda3/partition", "3")

    def put(self, path: str, content: str | bytes) -> None:
        real = self.base / path
        real.parent.mkdir(parents=True, exist_ok=True)
        real.write_bytes(content.encode() if isinstance(content, str) else content)

    def mapped(self, name: str, mapped: str, uuid: str, below: str) -> None:
        self.put(f"sys/class/block/{name}/dm/name", mapped)
        self.put(f"sys/class/block/{name}/dm/uuid", uuid)
        self.put(f"sys/class/block/{name}/slaves/{below}/dev", "")


@pytest.fixture
def host(tmp_path: Path) -> EncryptedHost:
    return EncryptedHost(tmp_path)


@pytest.mark.parametrize(
    ("tokens", "pcrs"),
    [
        ([SYSTEMD], "11"),
        ([CLEVIS], "4"),
        ([SHARED], "4"),
        ([{**SYSTEMD, "tpm2-pcrs": [7]}], None),
        # A new image is signed anew, so that the policy holds again.
        ([{"type": "systemd-tpm2", "tpm2-pcrs": [], "tpm2_pubkey_pcrs": [11]}], None),
        ([{"type": "systemd-fido2"}], None),
        ([{"type": "clevis", "jwe": {"protected": "no base64!"}}, SYSTEMD], "11"),
        ([], None),
    ],
)
def test_what_the_header_says(host: EncryptedHost, tokens: list[dict[str, Any]], pcrs: str | None) -> None:
    host.put("dev/vda3", header({str(number): token for number, token in enumerate(tokens)}))
    # The option is there, but the header knows better.
    host.put("etc/crypttab", "luks-1 UUID=abc - tpm2-device=auto\n")
    found = read_encryption(host.root)
    assert found["encrypted"] == "luks-1 is below the root file system"
    assert (found["sealed"] is not None) == (pcrs is not None)
    assert pcrs is None or f"of /dev/vda3 is sealed to PCR {pcrs}" in (found["sealed"] or "")


def test_without_a_header_the_option_counts(host: EncryptedHost) -> None:
    assert read_encryption(host.root)["sealed"] is None
    host.put("etc/crypttab", "#luks-1 UUID=abc - tpm2-device=auto\n")
    assert read_encryption(host.root)["sealed"] is None
    host.put("etc/crypttab", "luks-1 UUID=abc - tpm2-device=auto\n")
    assert "/etc/crypttab has tpm2-device=" in (read_encryption(host.root)["sealed"] or "")
    host.put("etc/crypttab", "")
    host.put("proc/cmdline", "rd.luks.options=abc=tpm2-device=auto")
    assert "the kernel command line has tpm2-device=" in (read_encryption(host.root)["sealed"] or "")


@pytest.mark.parametrize("line", ["rd.luks.uuid=abc", "rd.luks.name=abc=root", "cryptdevice=UUID=abc:root"])
def test_the_command_line_tells_of_it_too(tmp_path: Path, line: str) -> None:
    (tmp_path / "proc").mkdir()
    (tmp_path / "proc/cmdline").write_text(f"ro {line}\n")
    assert read_encryption(Root(str(tmp_path))) == {
        "encrypted": f"the kernel command line has {line}",
        "sealed": None,
    }


def test_a_plain_root_beside_an_encrypted_disk(host: EncryptedHost) -> None:
    host.put("sys/class/block/vda2/partition", "2")
    host.put("proc/self/mountinfo", "26 1 254:2 / / rw - ext4 /dev/vda2 rw\n")
    host.put("etc/crypttab", "data UUID=abc - tpm2-device=auto\n")
    assert read_encryption(host.root) == {"encrypted": None, "sealed": None}


@pytest.mark.parametrize(
    ("data", "tokens"),
    [
        (header({}, version=1), []),
        (header({})[:5000].replace(b"tokens", b"t\0kens"), None),
        (b"ext4", None),
        (b"LUKS\xba\xbe\0\2" + b"\xff" * 8, None),
    ],
)
def test_other_headers(tmp_path: Path, data: bytes, tokens: list[Any] | None) -> None:
    (tmp_path / "disk").write_bytes(data)
    assert read_tokens(str(tmp_path / "disk")) == tokens
    assert read_tokens(str(tmp_path / "nothing")) is None


@pytest.mark.parametrize("token", [{}, {"type": "clevis"}, {"type": "clevis", "jwe": {}}, {"type": "systemd-tpm2"}])
def test_tokens_that_are_not_as_they_should(token: dict[str, Any]) -> None:
    assert sealed_to(token) == frozenset()


def test_the_modules_of_displays(tmp_path: Path) -> None:
    for address, klass, driver in (
        ("0000:00:02.0", "0x030000", "i915"),
        ("0000:01:00.0", "0x030200", "vfio-pci"),
        ("0000:02:00.0", "0x030000", "virtio-pci"),
        ("0000:03:00.0", "0x020000", "e1000e"),
    ):
        directory = tmp_path / f"sys/bus/pci/devices/{address}"
        directory.mkdir(parents=True)
        (directory / "class").write_text(f"{klass}\n")
        (directory / "driver").symlink_to(f"../../drivers/{driver}")
    assert display_modules(Root(str(tmp_path))) == {"i915": "i915", "virtio-pci": "virtio_gpu"}
