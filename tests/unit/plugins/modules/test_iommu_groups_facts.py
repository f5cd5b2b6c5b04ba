# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import gc
import json
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import LEDGER_PATH
from ansible_collections.virtfleet.passthrough.plugins.modules import iommu_groups_facts
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.reference_hosts import reserving_firmware, shared_slot

NOBODY = 65534


@pytest.fixture(autouse=True)
def collecting_garbage_again() -> Iterator[None]:
    yield
    gc.enable()


@pytest.fixture
def readable_by_all() -> Iterator[Path]:
    """Unlike pytest's directories, which are for their owner only."""
    base = Path(tempfile.mkdtemp())
    base.chmod(0o755)
    yield base
    shutil.rmtree(base)


@contextmanager
def another_user() -> Iterator[None]:
    """Not root, for as long as this lasts; who is not root needs nothing."""
    before = os.geteuid()
    if before == 0:
        os.seteuid(NOBODY)
    try:
        yield
    finally:
        os.seteuid(before)


def run(capsys: pytest.CaptureFixture[str], **arguments: Any) -> Any:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        iommu_groups_facts.main()
    return json.loads(capsys.readouterr().out)


def test_what_it_returns_is_what_it_documents(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = shared_slot(tmp_path)
    tree.write("/sys/kernel/iommu_groups/1/reserved_regions", "0x0 0xffffff direct\n")
    result = run(capsys, root=str(tmp_path))
    # Ansible brings it to the controller; a managed host may be without.
    yaml = pytest.importorskip("yaml")
    documented = yaml.safe_load(iommu_groups_facts.RETURN)["ansible_facts"]["contains"]["iommu"]["contains"]
    facts = result["ansible_facts"]["iommu"]
    assert not result["changed"]
    assert set(facts) == set(documented)
    for name in ("devices", "groups", "identity_mapped"):
        assert set(facts[name][0]) == set(documented[name]["contains"])
    for name in ("kernel_config", "platform", "vfio_parameters", "acs_override", "log"):
        assert set(facts[name]) == set(documented[name]["contains"])
    assert set(facts["acs_override"]["next_boot"]) == set(
        documented["acs_override"]["contains"]["next_boot"]["contains"]
    )
    assert set(facts["predicted_groups"][0]) == set(documented["predicted_groups"]["contains"])
    judged = documented["devices"]["contains"]["verdict"]["contains"]
    assert set(facts["devices"][0]["verdict"]) == set(judged)


def test_a_user_who_may_not_read_the_ledger_gets_the_facts_and_is_told(
    readable_by_all: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = HostTree(readable_by_all)
    tree.function("0000:01:00.0", driver="vfio-pci")
    ledger = tree.write(LEDGER_PATH, '{"schema": 1}')
    ledger.chmod(0)
    with another_user():
        result = run(capsys, root=str(readable_by_all))
    assert [device["driver"] for device in result["ansible_facts"]["iommu"]["devices"]] == ["vfio-pci"]
    gap, not_root = result["ansible_facts"]["iommu"]["gaps"]
    assert "become: true" in not_root
    assert gap.startswith(f"{LEDGER_PATH} can be read by root only")
    assert gap in json.dumps(result["warnings"])


def test_directories_for_root_alone_stop_nobody_and_are_told_of(
    readable_by_all: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tree = HostTree(readable_by_all)
    tree.function("0000:01:00.0")
    tree.write("/run/lvm/pvs_online/abc", "8:0\nvg:pve\n")
    closed = readable_by_all / "run/lvm/pvs_online"
    closed.chmod(0)
    with another_user():
        result = run(capsys, root=str(readable_by_all))
    closed.chmod(0o755)
    assert "LVM" in json.dumps(result["warnings"])


def test_a_damaged_ledger_is_still_an_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = HostTree(tmp_path)
    tree.write(LEDGER_PATH, "{")
    assert "is not readable as JSON" in run(capsys, root=str(tmp_path))["msg"]


def test_an_override_is_asked_what_it_would_change(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    tree = shared_slot(tmp_path)
    together = run(capsys, root=str(tree.base))["ansible_facts"]["iommu"]["predicted_groups"]
    apart = run(capsys, root=str(tree.base), acs_override=["downstream", "multifunction"])["ansible_facts"]["iommu"]
    assert len(apart["predicted_groups"]) > len(together)


@pytest.mark.parametrize("value", ["everything", "id:8086", "id:80:a12f"])
def test_an_override_that_no_kernel_reads_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], value: str
) -> None:
    message = run(capsys, root=str(tmp_path), acs_override=[value])["msg"]
    assert value in message


def test_what_the_log_says_stands_beside_what_sysfs_shows(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    facts = run(capsys, root=str(reserving_firmware(tmp_path).base))["ansible_facts"]["iommu"]
    assert (facts["enabled"], facts["log"]["enabled"], facts["log"]["units"]) == (False, True, 2)
    slots = ("02.0", "14.0", "1a.0", "1d.0", "1f.0")
    assert facts["log"]["identity_mapped"] == [f"0000:00:{slot}" for slot in slots]
