# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Hosts: started, waited for, cut off, stopped, forgotten."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import signal
import socket
import subprocess
import time
import uuid
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from lab import console, emulator, golden, monitor, topology
from lab.emulator import Emulator
from lab.errors import LabError
from lab.keys import keys
from lab.locking import locked
from lab.paths import REPOSITORY, STATE, host_state
from lab.process import Process
from lab.progress import require_space, require_tools, say

FIRMWARE = Path("/usr/share/OVMF/OVMF_CODE_4M.fd")
VARIABLES = Path("/usr/share/OVMF/OVMF_VARS_4M.fd")
DEADLINE = 300.0
_TOOLS = {"qemu-img": "qemu-utils", "ssh": "openssh-client"}


@dataclass(frozen=True)
class Host:
    """A host as it was started last; all of it is in its state directory."""

    name: str
    topology: str
    flavour: str
    image: str
    uuid: str
    ssh_port: int
    pid: int = 0
    start_time: int = 0
    # Whether every write to its disk is recorded, from power-on.
    recorded: bool = False

    @property
    def directory(self) -> Path:
        return host_state(self.name)

    @property
    def console_log(self) -> Path:
        return self.directory / "console.log"

    @property
    def qemu_log(self) -> Path:
        return self.directory / "qemu.log"

    @property
    def write_log(self) -> Path:
        return self.directory / "writes.log"

    @property
    def ssh_config(self) -> Path:
        return self.directory / "ssh_config"

    @property
    def known_hosts(self) -> Path:
        return self.directory / "known_hosts"

    @property
    def process(self) -> Process:
        return Process(self.pid, self.start_time)

    @property
    def alive(self) -> bool:
        return self.pid > 0 and self.process.alive

    def ssh_command(self, *command: str) -> list[str]:
        return ["ssh", "-F", str(self.ssh_config), self.name, *command]

    def ssh(self, *command: str, limit: float = 120) -> str:
        """Run a command line on the host and give what it printed."""
        what = f"{self.name}: ssh {' '.join(command)}"
        try:
            done = subprocess.run(
                self.ssh_command(*command),
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise LabError(
                f"{what}: no end after {limit:.0f} s",
                cause="the host hangs or is slow",
                log=self.console_log,
            ) from None
        if done.returncode != 0:
            raise LabError(
                f"{what}: status {done.returncode}: {done.stderr.strip()[-400:]}",
                log=self.console_log,
            )
        return done.stdout

    def inventory_variables(self) -> dict[str, object]:
        known = shlex.quote(f"UserKnownHostsFile={self.known_hosts}")
        return {
            "ansible_host": "127.0.0.1",
            "ansible_port": self.ssh_port,
            "ansible_user": "root",
            "ansible_ssh_private_key_file": str(keys().login),
            "ansible_ssh_common_args": f"-o {known} -o GlobalKnownHostsFile=/dev/null"
            " -o StrictHostKeyChecking=yes -o IdentitiesOnly=yes"
            # A reset ends the host's side of a connection without a word, and QEMU's network keeps ours open.
            " -o ServerAliveInterval=10 -o ServerAliveCountMax=6",
            "ansible_python_interpreter": "/usr/bin/python3",
        }


# --- state -------------------------------------------------------------------------------------


def names() -> list[str]:
    return sorted(path.parent.name for path in STATE.glob("*/state.json"))


def get(name: str) -> Host:
    path = host_state(name) / "state.json"
    try:
        return Host(**json.loads(path.read_text(encoding="utf-8")))
    except (FileNotFoundError, NotADirectoryError):
        raise LabError(f"there is no host {name!r}", cause=f"known: {', '.join(names()) or 'none'}") from None
    except (ValueError, TypeError) as error:
        raise LabError(f"reading {path}: {error}", cause="written by another version of the lab: prune it") from None


def get_alive(name: str) -> Host:
    host = get(name)
    if not host.alive:
        raise LabError(f"host {name!r} does not run", cause="power-on starts it again")
    return host


def _save(host: Host) -> None:
    path = host.directory / "state.json"
    fresh = path.with_suffix(".new")
    fresh.write_text(json.dumps(asdict(host), indent=2) + "\n", encoding="utf-8")
    fresh.rename(path)


def _write_ssh_files(host: Host) -> None:
    pair = keys()
    host.known_hosts.write_text(f"[127.0.0.1]:{host.ssh_port} {pair.host_public}\n", encoding="utf-8")
    host.ssh_config.write_text(
        f"Host {host.name}\n"
        "  HostName 127.0.0.1\n"
        f"  Port {host.ssh_port}\n"
        "  User root\n"
        f'  IdentityFile "{pair.login}"\n'
        "  IdentitiesOnly yes\n"
        f'  UserKnownHostsFile "{host.known_hosts}"\n'
        "  GlobalKnownHostsFile /dev/null\n"
        "  StrictHostKeyChecking yes\n"
        "  ConnectTimeout 15\n"
        "  ServerAliveInterval 15\n"
        "  ServerAliveCountMax 8\n"
        "  LogLevel ERROR\n",
        encoding="utf-8",
    )


# --- starting ----------------------------------------------------------------------------------


def start(name: str, topology_name: str, flavour: str, ssh_port: int = 0, *, recorded: bool = False) -> Host:
    """Start a fresh host; whatever an earlier one of this name has left behind goes."""
    base = golden.ensure(flavour)
    host = Host(name, topology_name, flavour, str(base), str(uuid.uuid4()), ssh_port, recorded=recorded)
    return _start(host, _firmware(VARIABLES))


def start_as(name: str, other: Host, disk: Path, variables: Path) -> Host:
    """Start a host that is ``other`` with what a raw ``disk`` and a file of firmware ``variables`` hold; both stay as
    they are, and must while it runs."""
    return _start(replace(other, name=name, image=str(disk), ssh_port=0, recorded=False), variables, "raw")


def _start(host: Host, variables: Path, base_format: str = "qcow2") -> Host:
    name, directory = host.name, host.directory
    wanted = topology.load(host.topology)
    require_tools(f"starting {name}", _TOOLS)
    qemu = emulator.ensure(wanted.qemu)
    STATE.mkdir(exist_ok=True)
    with locked(STATE / "lock", f"starting {name}", limit=120):
        if (directory / "state.json").exists() and get(name).alive:
            raise LabError(f"host {name!r} runs already", cause="stop it, or use another name")
        if directory.exists() and not directory.is_dir():
            raise LabError(f"starting {name}: {directory} is not a directory", cause="not written by the lab: move it")
        shutil.rmtree(directory, ignore_errors=True)
        directory.mkdir()
        require_space(f"starting {name}", directory, 3)
        _require_memory(name, wanted)
        _overlay(Path(host.image), base_format, directory / "disk.qcow2")
        shutil.copy(variables, directory / "firmware.fd")
        return _launch(host, wanted, qemu)


def power_on(name: str, topology_name: str = "") -> Host:
    """Start a host again on the disk that it has; another topology is as if somebody had been at its slots."""
    with locked(STATE / "lock", f"powering {name} on", limit=120):
        host = get(name)
        if host.alive:
            raise LabError(f"host {name!r} runs already")
        if not Path(host.image).exists():
            raise LabError(
                f"powering {name} on: {host.image} is gone",
                cause="the image's recipe has changed since: start the host afresh",
            )
        host = replace(host, topology=topology_name or host.topology)
        wanted = topology.load(host.topology)
        return _launch(host, wanted, emulator.ensure(wanted.qemu))


def _overlay(base: Path, base_format: str, disk: Path) -> None:
    command = ["qemu-img", "create", "-q", "-f", "qcow2", "-F", base_format, "-b", str(base)]
    try:
        subprocess.run([*command, str(disk)], check=True, timeout=60, capture_output=True)
    except subprocess.SubprocessError as error:
        raise LabError(f"making the disk {disk}: {error}", cause="no disk space") from None


def _firmware(path: Path) -> Path:
    if not path.exists():
        raise LabError(f"{path} is missing", cause="missing Debian package ovmf")
    return path


def _require_memory(name: str, wanted: topology.Topology) -> None:
    text = Path("/proc/meminfo").read_text(encoding="ascii")
    found = next(line for line in text.splitlines() if line.startswith("MemAvailable:"))
    available = int(found.split()[1]) // 1024
    # Memory is taken when the host uses it; a booted host has used about a quarter.
    if available < wanted.memory // 2:
        raise LabError(
            f"starting {name}: wants {wanted.memory} MiB, {available} MiB are available",
            cause="too many hosts at once (python -m lab list)",
        )


def _launch(host: Host, wanted: topology.Topology, qemu: Emulator) -> Host:
    for file, size in wanted.drives.items():
        # As it is where it is there already: it keeps what the host has written.
        with (host.directory / file).open("ab") as drive:
            if drive.tell() == 0:
                drive.truncate(size * 2**20)
    if host.recorded:
        # QEMU starts the log anew and never makes the file.
        host.write_log.write_bytes(b"")
    fixed_port = host.ssh_port != 0
    for _attempt in range(5):
        port = host.ssh_port if fixed_port else _free_port()
        host = replace(host, ssh_port=port, pid=0, start_time=0)
        run = topology.Run(
            name=host.name,
            uuid=host.uuid,
            disk="disk.qcow2",
            firmware=str(_firmware(FIRMWARE)),
            variables="firmware.fd",
            console="console.log",
            keyboard=console.KEYBOARD,
            monitor=monitor.NAME,
            ssh_port=port,
            write_log=host.write_log.name if host.recorded else "",
        )
        pid = _spawn(host, [*qemu.command, *topology.arguments(wanted, run)], qemu.environment)
        if pid is not None:
            host = replace(host, pid=pid.pid, start_time=pid.start_time)
            _write_ssh_files(host)
            _save(host)
            return host
        # Somebody took the port between our look and QEMU's: another one, unless it was asked for.
        if fixed_port and not (host.directory / "state.json").exists():
            raise LabError(
                f"starting {host.name}: port {port} of 127.0.0.1 is not free",
                cause="port taken",
                log=host.qemu_log,
            )
        fixed_port = False
    raise LabError(f"starting {host.name}: no free port", cause="port taken", log=host.qemu_log)


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _spawn(host: Host, command: Sequence[str], environment: Mapping[str, str]) -> Process | None:
    """Start QEMU until its monitor answers; None when the port was taken."""
    with suppress(FileNotFoundError):
        (host.directory / monitor.NAME).unlink()
    with host.qemu_log.open("a", encoding="utf-8") as log:
        log.write(f"+ {shlex.join(command)}\n")
        log.flush()
        position = log.tell()
        child = subprocess.Popen(
            command,
            cwd=host.directory,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            env={**os.environ, **environment},
            # A Ctrl-C in the terminal is for the command, not for the hosts.
            start_new_session=True,
        )
    process = Process.of(child.pid)
    begun = time.monotonic()
    while time.monotonic() - begun < 60:
        if child.poll() is not None:
            said = host.qemu_log.read_text(encoding="utf-8", errors="replace")[position:]
            if "Could not set up host forwarding rule" in said:
                return None
            raise LabError(
                f"starting {host.name}: QEMU ended at once: {said.strip()[-300:]}",
                cause="an error in the topology, or no memory",
                log=host.qemu_log,
            )
        with suppress(OSError):
            monitor.ask(host.directory, "query-status", limit=5)
            # Its end is told by the process table; Popen must not warn about it being left alone.
            child.returncode = 0
            return process
        time.sleep(0.1)
    process.send(signal.SIGKILL)
    child.wait(10)
    raise LabError(
        f"starting {host.name}: QEMU's monitor did not answer within 60 s",
        cause="a machine under heavy load",
        log=host.qemu_log,
    )


# --- waiting -----------------------------------------------------------------------------------


def wait(hosts: Sequence[Host], deadline: float = DEADLINE) -> dict[str, float]:
    """Wait until every host answers over ssh; give the seconds that each has taken."""
    begun = time.monotonic()
    told = begun
    pending = {host.name: host for host in hosts}
    took: dict[str, float] = {}
    while pending:
        for name, host in list(pending.items()):
            if not host.alive:
                raise LabError(
                    f"waiting for {name}: its QEMU has ended",
                    cause="powered off, or killed for want of memory",
                    log=host.qemu_log,
                )
            if reachable(host):
                took[name] = time.monotonic() - begun
                del pending[name]
                say(f"{name}: reachable after {took[name]:.0f} s")
        now = time.monotonic()
        if pending and now - begun > deadline:
            late = ", ".join(pending)
            first = next(iter(pending.values()))
            raise LabError(
                f"waiting for {late}: not reachable over ssh after {deadline:.0f} s;"
                f" the console shows last: {console.last_line(first.console_log) or 'nothing'}",
                cause="host not up by its deadline: a failed boot, or a machine under heavy load",
                log=first.console_log,
            )
        if pending and now - told >= 10:
            told = now
            for name, host in pending.items():
                shown = console.last_line(host.console_log) or "nothing yet"
                say(f"{name}: {now - begun:.0f} of {deadline:.0f} s; console: {shown}")
        if pending:
            time.sleep(0.5)
    return took


def reachable(host: Host) -> bool:
    # QEMU accepts the connection long before the host listens: only its greeting counts, and
    # only then is a login worth its price.
    try:
        with socket.create_connection(("127.0.0.1", host.ssh_port), 2) as connection:
            connection.settimeout(3)
            if not connection.recv(4).startswith(b"SSH"):
                return False
    except OSError:
        return False
    try:
        done = subprocess.run(
            host.ssh_command("true"),
            stdin=subprocess.DEVNULL,
            capture_output=True,
            timeout=40,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return False
    return done.returncode == 0


# --- ending ------------------------------------------------------------------------------------


def cut(host: Host) -> None:
    """Take the power away."""
    if host.alive:
        host.process.send(signal.SIGKILL)
        if not host.process.wait(20):
            raise LabError(f"cutting {host.name}: process {host.pid} survives SIGKILL")


def stop(hosts: Sequence[Host], limit: float = 60) -> None:
    """Press the power button; whoever still runs after the limit is cut off."""
    pressed = [host for host in hosts if host.alive]
    for host in pressed:
        with suppress(OSError):
            monitor.ask(host.directory, "system_powerdown")
    begun = time.monotonic()
    for host in pressed:
        if not host.process.wait(max(0.0, limit - (time.monotonic() - begun))):
            say(f"{host.name}: still runs {limit:.0f} s after the power button: cutting it off")
            cut(host)


def forget(host: Host) -> None:
    cut(host)
    shutil.rmtree(host.directory, ignore_errors=True)


@contextmanager
def running(
    name: str,
    topology_name: str = "demo",
    flavour: str = "debian12",
    *,
    deadline: float = DEADLINE,
) -> Iterator[Host]:
    """Give a reachable host for the length of a block; KEEP=1 leaves it running.

    Its logs stay until the next host of this name.
    """
    host = start(name, topology_name, flavour)
    try:
        wait([host], deadline)
        yield host
    finally:
        # A reboot, a cut and a power-on inside the block may have given it another process.
        current = get(name)
        if os.environ.get("KEEP") == "1":
            relative = os.path.relpath(REPOSITORY)
            say(f"{name}: kept; python -m lab ssh {name} (in {relative}); prune ends it")
        else:
            cut(current)
            for disk in (current.directory / "disk.qcow2", *current.directory.glob("*.raw")):
                disk.unlink(missing_ok=True)
