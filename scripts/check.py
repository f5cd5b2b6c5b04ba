# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Run the checks, as many at a time as there are cores, and end with one summary line in pytest's form.

check.py quick        what belongs into the inner loop
check.py all          everything
check.py NAME ...     single checks by name
"""

from __future__ import annotations

import importlib.metadata
import os
import re
import sys
import time
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from steps import COLLECTIONS, LOGS, ROOT, StepError, run, say, shown

BIN = ROOT / ".venv/bin"
LINKED = COLLECTIONS / "ansible_collections/virtfleet/passthrough"
# Tools look for their helpers on PATH (ansible-lint: ansible-playbook; antsibull-docs: ansible).
ENVIRONMENT = {
    "PATH": f"{BIN}:{os.environ['PATH']}",
    "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
    "MOLECULE_GLOB": "molecule/*/molecule.yml",
    "NO_COLOR": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
}
# Ansible itself runs playbooks and roles on this machine.
PLAYBOOKS = tuple(f"tests/integration/test_{name}.py" for name in ("plan_report", "prove_role", "boot_role"))
# GRUB boots the hosts of the other checks; the rest of `make lab-loaders` takes too long for every time.
LOADER_FLAVOUR = "debian13-systemd-boot"
HOST_TESTS = ("tests/unit/plugins/modules", "tests/unit/plugins/module_utils")

Command = Sequence[str | Path]


@dataclass(frozen=True)
class Check:
    name: str
    what: str
    usual: str
    commands: Sequence[Command]
    # The directory without which the check cannot run, and what is then missing.
    needs: Path = ROOT
    without: str = ""
    seconds: float = 1800


@dataclass(frozen=True)
class Outcome:
    check: Check
    status: str
    passed: int = 1
    skipped: int = 0


def existing(*names: str) -> list[str]:
    return [name for name in names if (ROOT / name).exists()]


def shell_scripts() -> list[Path]:
    """Every shell script of the toolchain and the lab; most have no suffix."""
    files = (path for name in existing(".ci", "lab", "molecule", "scripts") for path in (ROOT / name).rglob("*"))
    first_lines = {path: path.read_bytes().partition(b"\n")[0] for path in files if path.is_file()}
    return sorted(path for path, line in first_lines.items() if re.match(rb"#!.*[/ ](ba|da)?sh\b", line))


def pytest(venv: str, *what: str) -> Command:
    return [ROOT / venv / "bin/python", "-m", "pytest", *what]


def as_root(command: Command) -> Command:
    """The same through sudo where that is needed, leaving no files of root's in the checkout."""
    if os.geteuid() == 0:
        return command
    python, *rest = command
    return ["sudo", "--non-interactive", python, "-B", *rest, "-p", "no:cacheprovider"]


def quick_checks() -> list[Check]:
    typed: list[str | Path] = [LINKED / name for name in existing("plugins", "tests")]
    typed += existing("lab", "scripts", "molecule/callbacks")
    docs: list[str | Path] = ["lint-collection-docs", "--plugin-docs", "--validate-collection-refs", "all", ROOT]
    return [
        Check("sanity", "ansible-test sanity", "25 s, cold 4 min", [[BIN / "python", "scripts/sanity.py", ".venv"]]),
        Check("ansible-lint", "ansible-lint, profile production", "15 s", [[BIN / "ansible-lint"]]),
        Check("unit", "unit tests", "1 min", [pytest(".venv")]),
        Check("mypy", "types, strict", "10 s", [[BIN / "mypy", *typed]]),
        Check("docs", "antsibull-docs", "10 s", [[BIN / "antsibull-docs", *docs]]),
        Check(
            "style",
            "ruff, reuse, antsibull-changelog, shellcheck",
            "3 s",
            [
                [BIN / "ruff", "check"],
                [BIN / "ruff", "format", "--check"],
                [BIN / "reuse", "lint", "--quiet"],
                [BIN / "antsibull-changelog", "lint"],
                ["shellcheck", *shell_scripts()],
            ],
        ),
    ]


def other_checks() -> list[Check]:
    here = importlib.metadata.version("ansible-core")
    other = "2.21" if here.startswith("2.19.") else "2.19"
    venv = f".venv-{other}"
    without = f"no Python for ansible-core {other} (see the set-up)"
    return [
        Check(
            f"sanity-{other}",
            f"ansible-test sanity of ansible-core {other}",
            "25 s, cold 4 min",
            [[ROOT / venv / "bin/python", "scripts/sanity.py", venv]],
            needs=ROOT / venv,
            without=without,
        ),
        Check(
            f"unit-{other}",
            f"unit tests with ansible-core {other}",
            "1 min",
            [pytest(venv)],
            needs=ROOT / venv,
            without=without,
        ),
        Check(
            "unit-py39",
            "unit tests of what runs on hosts, on Python 3.9",
            "1 min",
            [pytest(".venv-py39", *existing(*HOST_TESTS))],
            needs=ROOT / ".venv-py39",
            without="no Python 3.9 (see the set-up)",
        ),
        Check(
            "molecule-guard",
            "a scenario that matches no host fails",
            "20 s",
            [pytest(".venv", "tests/integration/test_molecule_guard.py")],
        ),
        Check(
            "plan-report",
            "the playbook plan with its table, exit code and document; what a failed proof says",
            "2 min",
            [pytest(".venv", *PLAYBOOKS)],
        ),
        Check(
            f"plan-report-{other}",
            f"the same with ansible-core {other}",
            "2 min",
            [pytest(venv, *PLAYBOOKS)],
            needs=ROOT / venv,
            without=without,
        ),
        Check(
            "power-cut",
            "boot files that are replaced on a disk whose power goes",
            "35 s",
            [as_root(pytest(".venv", "tests/integration/test_boot_file_power_cut.py"))],
        ),
        Check(
            "chroot",
            "early binding through the real initramfs tools, in Debian trees",
            "2 min, cold 6 min",
            [as_root(pytest(".venv", "tests/integration/chroot"))],
        ),
    ]


def heavy_checks() -> list[Check]:
    def target(name: str, what: str, usual: str, seconds: float, *variables: str) -> Check:
        return Check(name, what, usual, [["make", "--no-print-directory", name, *variables]], seconds=seconds)

    return [
        target("molecule-container", "Molecule: container scenario", "2 min", 1200),
        target("molecule-vm", "Molecule: VM scenario, Debian 13", "10 min", 2400),
        target("fuzz-iommu", "IOMMU groups of random PCI topologies, as predicted", "1 min, cold 2 min", 900, "N=8"),
        target(
            "lab-loaders",
            "kernel arguments on a virtual host that systemd-boot boots",
            "7 min",
            1800,
            f"FLAVOUR={LOADER_FLAVOUR}",
        ),
        target(
            "fuzz-power",
            "power cuts in the middle of a converge",
            "8 min",
            2400,
            *("N=4", "JOBS=2"),
        ),
        target("demo", "the main job on a virtual host", "6 min", 1800),
    ]


def lab_image() -> Check:
    flavours = f"FLAVOUR=debian12 debian13 {LOADER_FLAVOUR}"
    command = ["make", "--no-print-directory", "lab-image", flavours]
    return Check("lab-image", "the lab's host images", "5 s, cold 6 min", [command])


def perform(check: Check) -> Outcome:
    if not check.needs.exists():
        say(f"SKIPPED  {check.name}: {check.without}")
        return Outcome(check, "skipped", 0, 1)
    log = LOGS / f"check-{check.name}.log"
    log.parent.mkdir(parents=True, exist_ok=True)
    log.write_text("", encoding="utf-8")
    started = time.monotonic()
    say(f"START    {check.name}: {check.what} (usually {check.usual}; log: {shown(log)})")
    try:
        for command in check.commands:
            run(command, log, env=ENVIRONMENT, seconds=check.seconds)
    except StepError as exc:
        say(f"FAILED   {check.name} after {time.monotonic() - started:.0f} s: {exc}")
        return Outcome(check, "failed", 0)
    say(f"ok       {check.name} in {time.monotonic() - started:.0f} s")
    # Where pytest counted, its count goes into the summary; every other check counts as one.
    text = log.read_text(encoding="utf-8", errors="replace")
    counts = re.findall(r"^=+ .*\bin [0-9.]+s.* =+$", text, re.MULTILINE)
    if counts and any("pytest" in map(str, command) for command in check.commands):
        passed, skipped = (
            int(found[1]) if (found := re.search(rf"(\d+) {word}", counts[-1])) else 0 for word in ("passed", "skipped")
        )
        return Outcome(check, "passed", passed, skipped)
    return Outcome(check, "passed")


def perform_all(together: Sequence[Check], alone: Sequence[Check]) -> int:
    started = time.monotonic()
    with ThreadPoolExecutor(max_workers=max(2, os.cpu_count() or 1)) as pool:
        outcomes = list(pool.map(perform, together))
    # These measure time and use every core themselves.
    for check in alone:
        if any(outcome.status == "failed" for outcome in outcomes):
            say(f"SKIPPED  {check.name}: an earlier check failed")
            outcomes.append(Outcome(check, "skipped", 0, 1))
        else:
            outcomes.append(perform(check))

    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    for outcome in failed:
        say(f"FAILED   {outcome.check.name} (log: {shown(LOGS / f'check-{outcome.check.name}.log')})")
    passed, skipped = sum(outcome.passed for outcome in outcomes), sum(outcome.skipped for outcome in outcomes)
    parts = [f"{len(failed)} failed"] * bool(failed) + [f"{passed} passed"] + [f"{skipped} skipped"] * bool(skipped)
    say(f"==== {', '.join(parts)} in {time.monotonic() - started:.2f}s ====")
    return 1 if failed else 0


def main() -> int:
    names = sys.argv[1:] or ["quick"]
    if names == ["quick"]:
        return perform_all(quick_checks(), [])
    if names == ["all"]:
        return perform_all([lab_image(), *quick_checks(), *other_checks()], heavy_checks())
    known = {check.name: check for check in [*quick_checks(), *other_checks(), lab_image(), *heavy_checks()]}
    unknown = [name for name in names if name not in known]
    if unknown:
        say(f"unknown: {', '.join(unknown)}; there are quick, all, {', '.join(known)}")
        return 2
    return perform_all([known[name] for name in names], [])


if __name__ == "__main__":
    sys.exit(main())
