# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What is done to the host: module runs, reboots, a second kernel, a full EFI system partition."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from lab import machine
from lab.errors import LabError
from lab.loaders.expected import as_kernel_reads
from lab.machine import Host
from lab.paths import REPOSITORY
from lab.progress import say
from lab.steps import StepFailedError, manifest

HERE = Path(__file__).resolve().parent
ESP = "/boot/efi"
GRUB_CFG = "/boot/grub/grub.cfg"
LEDGER = "/var/lib/virtfleet-passthrough"
SECOND_KERNEL = "/var/cache/lab"
_FILLER = f"{ESP}/filler"
_COLLECTION = "virtfleet.passthrough"


@dataclass(frozen=True)
class Modules:
    """Runs one of the collection's modules on the host, as ``ansible -m`` does."""

    host: Host

    def info(self) -> dict[str, Any]:
        return self.succeed("kernel_cmdline_info")

    def succeed(self, module: str, *switches: str, **arguments: object) -> dict[str, Any]:
        result = self.run(module, *switches, **arguments)
        if result["failed"]:
            raise StepFailedError(f"{module} failed: {result.get('msg', result)}")
        return result

    def run(self, module: str, *switches: str, **arguments: object) -> dict[str, Any]:
        inventory, written = self.host.directory / "inventory.yml", self.host.directory / "result.json"
        hosts = {"all": {"hosts": {self.host.name: self.host.inventory_variables()}}}
        inventory.write_text("---\n" + yaml.safe_dump(hosts, width=1000), encoding="utf-8")
        written.unlink(missing_ok=True)
        command = ["ansible", self.host.name, "-i", str(inventory), "-m", f"{_COLLECTION}.{module}"]
        # An empty mapping would be taken for free text.
        command += ["-a", json.dumps(arguments)] if arguments else []
        done = subprocess.run(
            [*command, *switches],
            cwd=REPOSITORY,
            env=_environment(written),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            timeout=900,
            check=False,
        )
        if not written.exists():
            raise StepFailedError(f"{module} gave no result: {done.stdout[-400:]} {done.stderr[-400:]}")
        result: dict[str, Any] = json.loads(written.read_text(encoding="utf-8"))
        return result


def _environment(written: Path) -> dict[str, str]:
    return {
        **os.environ,
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "ANSIBLE_CONFIG": str(REPOSITORY / "ansible.cfg"),
        "ANSIBLE_CALLBACK_PLUGINS": str(HERE / "callbacks"),
        "ANSIBLE_CALLBACKS_ENABLED": "module_result",
        "ANSIBLE_LOAD_CALLBACK_PLUGINS": "true",
        "LAB_MODULE_RESULT": str(written),
    }


def boot_files(host: Host) -> dict[str, str]:
    """Every file that decides what boots and how, by its content."""
    # The ESP of a host that does not need it for its menu is mounted some time after the login.
    host.ssh("systemctl start boot-efi.mount")
    return manifest(host, "/etc", "/boot", ESP, LEDGER)


def grub_cfg_text(host: Host) -> str:
    """GRUB's menu, or nothing where there is no GRUB."""
    return host.ssh(f"cat {GRUB_CFG} 2>/dev/null || true")


def running_line(host: Host) -> list[str]:
    """What the kernel itself says it was given."""
    return as_kernel_reads(host.ssh("cat /proc/cmdline"))


def kernel_release(host: Host) -> str:
    return host.ssh("uname -r").strip()


def install_second_kernel(host: Host) -> str:
    """Install the package that lies in the image as an administrator would; give the kernel's release."""
    before = set(host.ssh("ls /lib/modules").split())
    host.ssh(f"DEBIAN_FRONTEND=noninteractive dpkg --install {SECOND_KERNEL}/linux-image-*.deb", limit=900)
    (release,) = set(host.ssh("ls /lib/modules").split()) - before
    return release


def reboot(host: Host, deadline: float = machine.DEADLINE) -> float:
    """Restart the host from inside and wait for the next boot; give the seconds that it took."""
    before = _boot_id(host)
    begun = time.monotonic()
    # The connection may end before the command does.
    with suppress(LabError):
        host.ssh("systemctl reboot", limit=60)
    while time.monotonic() - begun < deadline:
        time.sleep(2)
        if not machine.reachable(host):
            continue
        with suppress(LabError):
            if _boot_id(host) != before:
                took = time.monotonic() - begun
                say(f"{host.name}: back after {took:.0f} s")
                return took
    raise StepFailedError(f"the host did not come back within {deadline:.0f} s; its console: {host.console_log}")


def _boot_id(host: Host) -> str:
    return host.ssh("cat /proc/sys/kernel/random/boot_id").strip()


def fill_esp(host: Host) -> None:
    """Leave no cluster free."""
    host.ssh(
        f"dd if=/dev/zero of={_FILLER} bs=1M; dd if=/dev/zero of={_FILLER}.2 bs=512; sync -f {ESP}; true", limit=300
    )
    free = int(host.ssh(f"stat --file-system --format=%f {ESP}"))
    if free:
        raise StepFailedError(f"{ESP} still has {free} free clusters")


def empty_esp(host: Host) -> None:
    host.ssh(f"rm {_FILLER} {_FILLER}.2; sync -f {ESP}")
