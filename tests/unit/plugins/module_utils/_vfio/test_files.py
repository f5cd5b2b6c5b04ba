# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses
import shutil
import subprocess

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.address import Address
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Identity
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import (
    HOOK_PATH,
    IN_IMAGE,
    INIT_TOP_PATH,
    boot_files,
    ids_files,
    udev_rule,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH, Table

TABLE = Table(
    7,
    {
        Address.parse("0000:02:00.0"): Identity("8086", "10d3", "8086", "0000"),
        Address.parse("0000:01:00.0"): Identity("10de", "13c2", "1458", "3679"),
    },
)
GENERATORS = ("initramfs-tools", "dracut")


def test_the_rule_for_later_devices() -> None:
    lines = udev_rule(TABLE).splitlines()
    (first, second) = [line for line in lines if "KERNEL" in line]
    assert first == (
        'ENV{virtfleet_passthrough.generation}=="7", KERNEL=="0000:01:00.0", '
        'ATTR{vendor}=="0x10de", ATTR{device}=="0x13c2", ATTR{subsystem_vendor}=="0x1458", '
        'ATTR{subsystem_device}=="0x3679", TEST=="iommu_group", ATTR{driver_override}="vfio-pci", '
        'ATTR{[subsystem/pci]drivers_probe}="$kernel", '
        'RUN{builtin}+="kmod load vfio-pci"'
    )
    assert 'KERNEL=="0000:02:00.0"' in second
    assert lines[-1] == 'LABEL="virtfleet_vfio_end"'


def test_the_rule_holds_in_an_old_boot_what_the_old_boot_was_made_for() -> None:
    lines = udev_rule(dataclasses.replace(TABLE, generation=8, earlier=TABLE)).splitlines()
    old, new = (udev_rule(dataclasses.replace(TABLE, generation=number)).splitlines() for number in (7, 8))
    assert lines == [*new[:-1], *old[4:]]


@pytest.mark.parametrize("generators", [(), ("initramfs-tools",), ("dracut",), GENERATORS])
def test_files_are_the_same_for_the_same_table(generators: tuple[str, ...]) -> None:
    files = boot_files(TABLE, generators)
    assert files == boot_files(Table(7, dict(reversed(list(TABLE.entries.items())))), generators)
    # Without the table the others do nothing: it comes last.
    assert files[-1].path == TABLE_PATH
    written = {file.path for file in (*files, *ids_files(TABLE.entries.values(), [], generators))}
    for generator in generators:
        assert set(IN_IMAGE[generator]) <= written


def test_every_script_is_one_for_its_shell() -> None:
    for file in (*boot_files(TABLE, GENERATORS), *ids_files(TABLE.entries.values(), [], GENERATORS)):
        if file.mode == 0o755:
            interpreter = file.content.splitlines()[0].removeprefix(b"#!/bin/").decode()
            shell = shutil.which({"sh": "dash"}.get(interpreter, interpreter))
            assert shell is not None
            subprocess.run([shell, "-n"], input=file.content, check=True, timeout=10)


@pytest.mark.parametrize("path", [HOOK_PATH, INIT_TOP_PATH])
def test_prerequisites_are_none_and_nothing_else_is_said(path: str) -> None:
    for files in (boot_files(TABLE, GENERATORS), ids_files(TABLE.entries.values(), [], GENERATORS)):
        (content,) = [file.content for file in files if file.path == path]
        done = subprocess.run(["dash", "-s", "prereqs"], input=content, check=True, capture_output=True, timeout=10)
        assert (done.stdout, done.stderr) == (b"", b"")


def test_the_name_sorts_before_udev() -> None:
    assert INIT_TOP_PATH.rpartition("/")[2] < "udev"
