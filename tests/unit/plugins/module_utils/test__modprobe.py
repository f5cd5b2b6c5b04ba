# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._modprobe import (
    contradictions,
    effective_files,
    parse,
    read_directives,
    same_value,
)
from tests.unit.plugins.host_tree import HostTree


def test_lines_as_modprobe_reads_them() -> None:
    text = """\
# options vfio-pci disable_vga=1
options vfio-pci ids=10de:13c2,\\
10de:0fbb  disable-idle_d3=1
  blacklist i2c-nvidia-gpu
install drm /bin/true
softdep nouveau pre: vfio-pci
options

options snd_hda_intel model="a b" enable
"""
    directives = parse(text, "/etc/modprobe.d/a.conf")
    assert [(one.command, one.module) for one in directives] == [
        ("options", "vfio_pci"),
        ("blacklist", "i2c_nvidia_gpu"),
        ("install", "drm"),
        ("softdep", "nouveau"),
        ("options", "snd_hda_intel"),
    ]
    assert directives[0].parameters == {"ids": "10de:13c2,10de:0fbb", "disable_idle_d3": "1"}
    assert directives[1].parameters == {}
    assert directives[2].rest == "/bin/true"
    assert directives[4].parameters == {"model": "a b", "enable": None}


def test_the_first_directory_wins_and_names_decide_the_order(tmp_path: Path) -> None:
    tree = HostTree(tmp_path)
    tree.write("/lib/modprobe.d/50-kvm.conf", "options kvm ignore_msrs=0\n")
    tree.write("/etc/modprobe.d/50-kvm.conf", "options kvm ignore_msrs=1\n")
    tree.write("/etc/modprobe.d/99-late.conf", "options kvm halt_poll_ns=0\n")
    tree.write("/run/modprobe.d/10-early.conf", "options kvm nx_huge_pages=off\n")
    tree.write("/etc/modprobe.d/readme.txt", "options kvm ignore_msrs=0\n")
    assert effective_files(tree.root) == [
        "/run/modprobe.d/10-early.conf",
        "/etc/modprobe.d/50-kvm.conf",
        "/etc/modprobe.d/99-late.conf",
    ]
    assert contradictions(read_directives(tree.root), "kvm", "ignore_msrs", "Y") == []


def test_what_sets_another_value_contradicts() -> None:
    directives = parse(
        "options vfio-pci disable_vga=0\noptions vfio_pci disable_vga\noptions kvm disable_vga=0\n", "/x"
    )
    assert [str(one) for one in contradictions(directives, "vfio-pci", "disable_vga", "1")] == [
        "options vfio_pci disable_vga=0"
    ]


@pytest.mark.parametrize(
    ("one", "other", "same"),
    [
        ("1", "Y", True),
        ("on", "1", True),
        (None, "y", True),
        ("0", "n", True),
        ("off", "N", True),
        ("1", "0", False),
        ("-1", "0", False),
        ("-1", "1", False),
        ("12", "1", False),
        ("-1", "-1", True),
    ],
)
def test_values_are_compared_by_meaning(one: str | None, other: str, same: bool) -> None:
    assert same_value(one, other) is same
