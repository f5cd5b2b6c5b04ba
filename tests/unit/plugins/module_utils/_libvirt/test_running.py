# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

from pathlib import Path

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._libvirt.running import domains_by_files

UUID = "4dea22b3-1d52-d8f3-2516-782e98ab3fa0"
STATUS = "<domstatus state='running' pid='{pid}'>\n<domain type='kvm'><name>{name}</name>{uuid}</domain></domstatus>\n"


def put(base: Path, name: str, pid: int | None, uuid: str = f"<uuid>{UUID}</uuid>", alive: bool = True) -> None:
    state = base / "run/libvirt/qemu"
    state.mkdir(parents=True, exist_ok=True)
    (state / f"{name}.xml").write_text(STATUS.format(pid=pid, name=name, uuid=uuid))
    if pid is not None:
        (state / f"{name}.pid").write_text(f"{pid}")
    if pid is not None and alive:
        (base / f"proc/{pid}").mkdir(parents=True)


def test_a_host_without_libvirt_runs_none(tmp_path: Path) -> None:
    assert domains_by_files(Root(str(tmp_path))) == []


def test_a_domain_runs_while_its_process_does(tmp_path: Path) -> None:
    put(tmp_path, "web.example", 812)
    put(tmp_path, "crashed", 813, alive=False)
    put(tmp_path, "db", 814, uuid="")
    (tmp_path / "run/libvirt/qemu/autostarted").write_text("")
    (tmp_path / "run/libvirt/qemu/driver.pid").write_text("700")
    assert domains_by_files(Root(str(tmp_path))) == [
        {"name": "db", "uuid": None},
        {"name": "web.example", "uuid": UUID},
    ]


def test_a_status_that_breaks_off_still_tells_the_name(tmp_path: Path) -> None:
    put(tmp_path, "web", 812)
    (tmp_path / "run/libvirt/qemu/web.xml").write_text("<domstatus>")
    assert domains_by_files(Root(str(tmp_path))) == [{"name": "web", "uuid": None}]
