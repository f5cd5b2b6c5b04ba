# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.rom_files import (
    judge_rom_files,
    named_rom_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.spec import PciHostdev
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.option_roms import rom_image

GPU = "0000:0b:00.0"


@pytest.fixture
def tree(tmp_path: Path) -> HostTree:
    tree = HostTree(tmp_path)
    tree.function(GPU, vendor="0x10de", device="0x13c2")
    return tree


def reasons(tree: HostTree, rom_file: str | None = "/srv/card.rom") -> list[str]:
    options = {"address": GPU} if rom_file is None else {"address": GPU, "rom_file": rom_file}
    found = judge_rom_files(tree.root, [PciHostdev.from_options(options, "device")])
    assert {refusal.device for refusal in found} <= {GPU}
    return [refusal.reason for refusal in found]


def test_a_rom_of_another_model_is_refused(tree: HostTree) -> None:
    tree.write("/srv/card.rom", "").write_bytes(rom_image(3, "10de", "1184", last=True))
    assert reasons(tree) == [
        "rom_file /srv/card.rom of 0000:0b:00.0 is for 10de:1184, and the device is 10de:13c2",
    ]


def test_the_right_rom(tree: HostTree) -> None:
    tree.write("/srv/card.rom", "").write_bytes(rom_image(3, "10de", "13c2", last=True))
    assert reasons(tree) == []
    assert reasons(tree, None) == []


def test_a_file_that_is_missing_or_none(tree: HostTree) -> None:
    assert reasons(tree) == ["rom_file /srv/card.rom of 0000:0b:00.0 cannot be read"]
    tree.write("/srv/card.rom", "<html>")
    assert "no expansion ROM" in reasons(tree)[0]


def test_what_is_no_rom_for_certain_is_not_read(tree: HostTree) -> None:
    place = tree.write("/srv/card.rom", "")
    with place.open("wb") as stream:
        # Sparse: it takes no room, and reading it would.
        stream.truncate(16 * 1024 * 1024 + 1)
    assert reasons(tree) == ["rom_file /srv/card.rom of 0000:0b:00.0 is larger than 16 MiB, which no ROM is"]
    place.unlink()
    place.mkdir()
    assert reasons(tree) == ["rom_file /srv/card.rom of 0000:0b:00.0 is no file"]


@pytest.mark.parametrize(
    ("domains", "named"),
    [
        ([{"devices": ["gpu", {"name": "nic", "rom_file": "/b"}]}, {"devices": [{"rom_file": "/a"}]}], ("/a", "/b")),
        ([{"devices": [{"rom_file": "a"}, {"rom_file": 1}, {"rom_file": None}]}, {"devices": "/a"}, "x", {}], ()),
        (None, ()),
        ("/a", ()),
    ],
)
def test_the_files_that_a_list_names(domains: Any, named: tuple[str, ...]) -> None:
    assert named_rom_files(domains) == named
