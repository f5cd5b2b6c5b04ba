# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Command line: python -m lab <command>, from the repository root."""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from collections.abc import Sequence

import yaml

from lab import console, golden, machine, recipe, topology
from lab.errors import LabError


def main(argv: Sequence[str] | None = None) -> int:
    options = _parser().parse_args(argv)
    # So that a terminated command cleans up as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda _number, _frame: sys.exit(143))
    try:
        status: int = options.run(options)
    except LabError as error:
        print(f"lab: {error}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m lab", description="Virtual hypervisor hosts.")
    commands = parser.add_subparsers(metavar="COMMAND", required=True)

    def command(name: str, run: object, text: str) -> argparse.ArgumentParser:
        sub = commands.add_parser(name, help=text, description=text)
        sub.set_defaults(run=run)
        return sub

    sub = command("build", _build, "build the golden images that are not there yet")
    sub.add_argument("flavours", nargs="*", metavar="FLAVOUR")

    sub = command("start", _start, "start fresh hosts (their names, one or several)")
    sub.add_argument("names", nargs="+", metavar="NAME")
    sub.add_argument("--topology", default="demo", choices=topology.known())
    sub.add_argument("--flavour", default="debian12", choices=recipe.flavours())
    sub.add_argument("--ssh-port", default="auto", help="a port of 127.0.0.1 (one host only)")

    sub = command("wait", _wait, "wait until hosts are reachable over ssh")
    sub.add_argument("names", nargs="+", metavar="NAME")
    sub.add_argument("--deadline", type=float, default=machine.DEADLINE, metavar="SECONDS")

    sub = command("inventory", _inventory, "print an Ansible inventory (YAML)")
    sub.add_argument("names", nargs="+", metavar="NAME")
    sub.add_argument("--group", default="lab")

    sub = command("ssh", _ssh, "open a shell, or run what follows --")
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("command", nargs=argparse.REMAINDER, metavar="-- COMMAND")

    sub = command("console", _console, "print the console log without terminal sequences")
    sub.add_argument("name", metavar="NAME")

    sub = command("type", _type, "type a line on the serial console")
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("text", metavar="TEXT")

    sub = command("cut", _cut, "take the power away (SIGKILL)")
    sub.add_argument("name", metavar="NAME")

    sub = command("power-on", _power_on, "start a host again on the disk that it has")
    sub.add_argument("name", metavar="NAME")
    sub.add_argument("--topology", default="", choices=topology.known(), help="the one it had")

    sub = command("stop", _stop, "press the power button, cut off after the limit")
    sub.add_argument("names", nargs="+", metavar="NAME")
    sub.add_argument("--limit", type=float, default=60, metavar="SECONDS")

    command("list", _list, "list the hosts")

    sub = command("prune", _prune, "end hosts and delete their state (default: all)")
    sub.add_argument("names", nargs="*", metavar="NAME")
    return parser


def _build(options: argparse.Namespace) -> int:
    for flavour in options.flavours or recipe.flavours():
        print(golden.ensure(flavour))
    return 0


def _start(options: argparse.Namespace) -> int:
    port = 0
    if options.ssh_port != "auto":
        if not options.ssh_port.isdigit() or len(options.names) > 1:
            raise LabError("--ssh-port takes one port number, for one host")
        port = int(options.ssh_port)
    for name in options.names:
        host = machine.start(name, options.topology, options.flavour, port)
        print(f"{name}: ssh port {host.ssh_port}, console log {host.console_log}")
    return 0


def _wait(options: argparse.Namespace) -> int:
    machine.wait([machine.get_alive(name) for name in options.names], options.deadline)
    return 0


def _inventory(options: argparse.Namespace) -> int:
    hosts = {name: machine.get(name).inventory_variables() for name in options.names}
    text = yaml.safe_dump({options.group: {"hosts": hosts}}, sort_keys=False, width=1000)
    print("---\n" + text, end="")
    return 0


def _ssh(options: argparse.Namespace) -> int:
    words = options.command
    if words[:1] == ["--"]:
        words = words[1:]
    return subprocess.run(machine.get_alive(options.name).ssh_command(*words), check=False).returncode


def _console(options: argparse.Namespace) -> int:
    print(console.read(machine.get(options.name).console_log))
    return 0


def _type(options: argparse.Namespace) -> int:
    host = machine.get_alive(options.name)
    try:
        console.type_line(host.directory, options.text)
    except OSError as error:
        raise LabError(f"{host.name}: typing on its console: {error}", log=host.console_log) from None
    return 0


def _cut(options: argparse.Namespace) -> int:
    machine.cut(machine.get_alive(options.name))
    return 0


def _power_on(options: argparse.Namespace) -> int:
    host = machine.power_on(options.name, options.topology)
    print(f"{host.name}: ssh port {host.ssh_port}, console log {host.console_log}")
    return 0


def _stop(options: argparse.Namespace) -> int:
    machine.stop([machine.get(name) for name in options.names], options.limit)
    return 0


def _list(_options: argparse.Namespace) -> int:
    for name in machine.names():
        host = machine.get(name)
        state = f"running, process {host.pid}" if host.alive else "off"
        print(f"{name}: {state}; {host.flavour}, {host.topology}, ssh port {host.ssh_port}")
    return 0


def _prune(options: argparse.Namespace) -> int:
    for name in options.names or machine.names():
        machine.forget(machine.get(name))
    return 0


if __name__ == "__main__":
    sys.exit(main())
