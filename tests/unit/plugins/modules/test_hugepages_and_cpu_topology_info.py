# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""The modules ``hugepages`` and ``cpu_topology_info`` from their arguments to their results."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from ansible.module_utils.testing import patch_module_args

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._hugepages.pages import GIB
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module import hugepages as body
from ansible_collections.virtfleet.passthrough.plugins.modules import cpu_topology_info as topology_module
from ansible_collections.virtfleet.passthrough.plugins.modules import hugepages as hugepages_module
from tests.unit.plugins.cpu_machines import MACHINES, write_tree
from tests.unit.plugins.host_tree import HostTree
from tests.unit.plugins.huge_kernel import HugeKernel


def _run(main: Callable[[], None], capsys: pytest.CaptureFixture[str], **arguments: Any) -> Any:
    with patch_module_args(arguments), pytest.raises(SystemExit):
        main()
    return json.loads(capsys.readouterr().out)


@pytest.fixture
def kernel(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HugeKernel:
    """The module looks at, and writes to, a kernel of ours."""
    fake = HugeKernel(tmp_path, 8 * GIB)
    monkeypatch.setattr(body, "Root", lambda: Root(str(tmp_path)))
    monkeypatch.setattr(body, "Kernel", lambda root: fake)
    return fake


def test_hugepages(kernel: HugeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    pools = [{"size": "1G", "count": 2}, {"size": "2M", "count": 10, "node": 0}]
    predicted = _run(hugepages_module.main, capsys, pools=pools, _ansible_check_mode=True, _ansible_diff=True)
    assert (predicted["changed"], kernel.pages(0, GIB)) == (True, 0)
    result = _run(hugepages_module.main, capsys, pools=pools, _ansible_diff=True)
    assert result["changed"]
    assert result["diff"] == predicted["diff"]
    assert result["pools"] == predicted["pools"]
    assert result["pools"][0] == {"size": "1G", "node": 0, "wanted": 2, "got": 2}
    assert result["kernel_args"] == ["hugepagesz=1G", "hugepages=2", "hugepagesz=2M", "hugepages=10"]
    assert (result["reboot_required"], result["transparent_hugepages"]) == (False, "madvise")
    assert result["nodes"] == [
        {
            "node": 0,
            "memory_mb": 8192,
            "remaining_mb": 6124,
            "pages": [{"size": "2M", "total": 10, "free": 10}, {"size": "1G", "total": 2, "free": 2}],
        }
    ]
    assert not _run(hugepages_module.main, capsys, pools=pools)["changed"]
    assert _run(hugepages_module.main, capsys, state="absent")["changed"]
    assert (kernel.pages(0, GIB), kernel.pages(0, 2048)) == (0, 0)


def test_hugepages_refuses(kernel: HugeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    result = _run(hugepages_module.main, capsys, pools=[{"size": "1G", "count": 8}])
    assert result["failed"]
    assert "at most 7 pages" in result["refusals"][0]["reason"]
    assert _run(hugepages_module.main, capsys, pools=[{"size": "1", "count": 8}])["failed"]
    assert "pools, overcommit" in _run(hugepages_module.main, capsys)["msg"]


def test_an_empty_list_gives_back(kernel: HugeKernel, capsys: pytest.CaptureFixture[str]) -> None:
    _run(hugepages_module.main, capsys, pools=[{"size": "2M", "count": 8}])
    assert _run(hugepages_module.main, capsys, pools=[])["changed"]
    assert kernel.pages(0, 2048) == 0


def test_cpu_topology_info(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path, MACHINES["two sockets"])
    HostTree(tmp_path).function("0000:01:00.0", numa_node="1")
    result = _run(topology_module.main, capsys, root=str(tmp_path), vcpus=4, near_device="1:0.0", host_cores=2)
    assert result["pinning"]["vcpupin"] == [
        {"vcpu": 0, "cpuset": "6"},
        {"vcpu": 1, "cpuset": "14"},
        {"vcpu": 2, "cpuset": "7"},
        {"vcpu": 3, "cpuset": "15"},
    ]
    assert result["pinning"]["emulatorpin"] == "4-5,12-13"
    assert result["pinning"]["topology"] == {"sockets": 1, "cores": 2, "threads": 2}
    assert (result["pinning"]["cpus"], result["pinning"]["node"], result["topology"]["smt"]) == ("6-7,14-15", 1, True)
    assert not result["changed"]


def test_cpu_topology_info_warns(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path, MACHINES["ryzen 1600"])
    result = _run(topology_module.main, capsys, root=str(tmp_path), vcpus=8)
    assert "span 2 level 3 caches" in result["pinning"]["warnings"][0]
    assert "span 2 level 3 caches" in json.dumps(result["warnings"])


def test_cpu_topology_info_without_a_guest(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_tree(tmp_path, MACHINES["ryzen 1600"])
    result = _run(topology_module.main, capsys, root=str(tmp_path))
    assert result["pinning"] is None
    assert result["topology"]["l3_domains"] == [{"domain": 0, "cpus": "0-5"}, {"domain": 1, "cpus": "6-11"}]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ({"vcpus": 99}, "node 0 has 12 CPUs in 6 cores"),
        ({"vcpus": 0}, "0 vCPUs"),
        ({"vcpus": 2, "host_cores": 0}, "host_cores is 0"),
        ({"near_device": "0000:99:00.0"}, "no PCI device 0000:99:00.0"),
        ({"near_device": "gpu"}, "'gpu' is no PCI address"),
    ],
)
def test_cpu_topology_info_refuses(
    arguments: dict[str, Any], said: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_tree(tmp_path, MACHINES["ryzen 1600"])
    result = _run(topology_module.main, capsys, root=str(tmp_path), **arguments)
    assert result["failed"]
    assert said in result["msg"]


def test_an_empty_root_is_no_host(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert "names no online CPU" in _run(topology_module.main, capsys, root=str(tmp_path))["msg"]
