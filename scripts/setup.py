# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Make the checkout ready: Debian packages, virtual environments, dependency collections.

    setup.py            what the demo and the quick checks need
    setup.py --extra    also the other Pythons and the other ansible-core that `make test` covers

Every step is skipped while its inputs are what they were when it last succeeded.
Standard library only: this runs before there is a virtual environment.
"""

from __future__ import annotations

import argparse
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterable
from pathlib import Path

from steps import BUILD, COLLECTIONS, ROOT, Step, StepError, fail, find_python, run, say, shown

NAMESPACE, NAME = "virtfleet", "passthrough"
REQUIREMENTS = ROOT / "requirements"
NEEDED_COLLECTIONS = ("ansible/posix", "community/general", "community/libvirt", "containers/podman")
# Which Pythons can run which ansible-core as a controller, best first.
CORE_PYTHONS = {"2.19": ("3.11", "3.12", "3.13"), "2.21": ("3.13", "3.12", "3.14")}
OLDEST_HOST_PYTHON = "3.9"


def fingerprint(*inputs: Path | str) -> str:
    digest = hashlib.sha256()
    for item in inputs:
        digest.update(item.read_bytes() if isinstance(item, Path) else item.encode())
        digest.update(b"\0")
    return digest.hexdigest()


def fresh(stamp: Path, value: str, *made: Path) -> bool:
    return all(path.exists() for path in made) and stamp.exists() and stamp.read_text(encoding="utf-8") == value


def listed(*files: Path) -> list[str]:
    """Read package names from files in which # starts a comment; a missing file has none."""
    names: list[str] = []
    for file in files:
        if file.exists():
            lines = file.read_text(encoding="utf-8").splitlines()
            names += [word for line in lines for word in line.split("#")[0].split()]
    return list(dict.fromkeys(names))


def pinned(project: str, lock: Path) -> str:
    found = re.search(rf"^{re.escape(project)}==(\S+)", lock.read_text(encoding="utf-8"), re.MULTILINE)
    if not found:
        raise StepError(f"{shown(lock)} does not pin {project}: run 'make lock'")
    return found[1]


def missing_packages(names: Iterable[str]) -> list[str]:
    wanted = list(names)
    done = subprocess.run(
        ["dpkg-query", "-W", "-f", "${Package} ${db:Status-Status}\n", *wanted],
        capture_output=True,
        text=True,
        check=False,
    )
    here = {line.split()[0] for line in done.stdout.splitlines() if line.endswith(" installed")}
    return [name for name in wanted if name not in here]


def debian_packages(*files: Path, log: str) -> None:
    names = listed(*files)
    if not shutil.which("dpkg-query"):
        raise StepError(
            f"this set-up knows Debian 12 and 13 only; elsewhere install what stands for: {' '.join(names)}"
        )
    missing = missing_packages(names)
    if not missing:
        say(f"==> Debian packages: all {len(names)} present")
        return
    root = [] if os.geteuid() == 0 else ["sudo", "--non-interactive"]
    if root and not shutil.which("sudo"):
        raise StepError(f"as root, run: apt-get install --no-install-recommends {' '.join(missing)}")
    apt = [*root, "env", "DEBIAN_FRONTEND=noninteractive", "LC_ALL=C", "apt-get", "-o", "DPkg::Lock::Timeout=600"]
    with Step(f"Debian packages: install {len(missing)} of {len(names)}", log=log, usual="10 s to 3 min") as out:
        run([*apt, "update"], out, seconds=600)
        run([*apt, "install", "--yes", "--no-install-recommends", *missing], out, seconds=1800)


def python_identity(python: Path) -> str:
    probe = "import os, sys; print(sys.version, os.path.realpath(sys.executable))"
    return subprocess.run([python, "-c", probe], capture_output=True, text=True, check=True).stdout


def make_venv(venv: Path, python: Path, log: Path) -> None:
    shutil.rmtree(venv, ignore_errors=True)
    run([python, "-m", "venv", venv], log, seconds=300)


def pip_install(venv: Path, log: Path, *what: str) -> None:
    run([venv / "bin/python", "-m", "pip", "install", "--disable-pip-version-check", *what], log, seconds=1800)


def libvirt_binding(venv: Path, log: Path) -> None:
    """Give the environment `import libvirt`: Debian's build where it fits this Python, else one of our own."""
    probe = "import sysconfig; print(sysconfig.get_config_var('EXT_SUFFIX')); print(sysconfig.get_path('platlib'))"
    lines = subprocess.run([venv / "bin/python", "-c", probe], capture_output=True, text=True, check=True).stdout
    suffix, site = lines.split()
    debian = Path("/usr/lib/python3/dist-packages")
    module = debian / f"libvirtmod{suffix}"
    if module.exists():
        # Only these two files: the whole directory on the path would let Debian's packages shadow the locked ones.
        for file in (debian / "libvirt.py", module):
            (Path(site) / file.name).symlink_to(file)
    else:
        pip_install(venv, log, "--no-deps", "--requirement", str(REQUIREMENTS / "libvirt.txt"))
    run([venv / "bin/python", "-c", "import libvirt; libvirt.open('test:///default').getLibVersion()"], log)


def core_venv(venv: Path, core: str, python: Path) -> None:
    lock = REQUIREMENTS / f"core-{core}.txt"
    stamp, value = venv / ".stamp", fingerprint(lock, REQUIREMENTS / "libvirt.txt", python_identity(python))
    if fresh(stamp, value, venv / "bin/ansible"):
        say(f"==> {venv.name}: up to date (ansible-core {pinned('ansible-core', lock)})")
        return
    with Step(f"{venv.name}: locked Python packages for ansible-core {core}", log=venv.name[1:], usual="1 min") as log:
        make_venv(venv, python, log)
        pip_install(venv, log, "--no-deps", "--requirement", str(lock))
        libvirt_binding(venv, log)
        stamp.write_text(value, encoding="utf-8")


def host_venv(venv: Path, core: str, python: Path) -> None:
    """Make the environment that stands for a managed host with the oldest supported Python.

    The controller of this ansible-core needs a newer Python, its module_utils do not: pip is told to look away,
    so that modules meet the very module_utils that they would be sent with.
    """
    lock, core_lock = REQUIREMENTS / f"host-py{OLDEST_HOST_PYTHON}.txt", REQUIREMENTS / f"core-{core}.txt"
    value = fingerprint(lock, core_lock, REQUIREMENTS / "libvirt.txt", python_identity(python))
    stamp = venv / ".stamp"
    if fresh(stamp, value, venv / "bin/pytest"):
        say(f"==> {venv.name}: up to date")
        return
    with Step(
        f"{venv.name}: modules as on a host with Python {OLDEST_HOST_PYTHON}", log=venv.name[1:], usual="30 s"
    ) as log:
        make_venv(venv, python, log)
        pip_install(venv, log, "--no-deps", "--requirement", str(lock))
        version = pinned("ansible-core", core_lock)
        pip_install(venv, log, "--no-deps", "--ignore-requires-python", f"ansible-core=={version}")
        libvirt_binding(venv, log)
        stamp.write_text(value, encoding="utf-8")


def dependency_collections(core: str) -> None:
    """Unpack the needed collections from the wheel of the community package, so that Galaxy is not needed."""
    lock = REQUIREMENTS / f"collections-{core}.txt"
    target = COLLECTIONS / "ansible_collections"
    stamp, value = BUILD / "collections.stamp", fingerprint(lock, *NEEDED_COLLECTIONS)
    if fresh(stamp, value, *(target / name for name in NEEDED_COLLECTIONS)):
        say("==> dependency collections: up to date")
        return
    what = f"dependency collections from ansible {pinned('ansible', lock)} on PyPI"
    with Step(what, log="collections", usual="20 s") as log:
        wheels = BUILD / "wheels"
        shutil.rmtree(wheels, ignore_errors=True)
        pip: list[str | Path] = [
            ROOT / ".venv/bin/python",
            "-m",
            "pip",
            "download",
            "--disable-pip-version-check",
            "--no-deps",
        ]
        run([*pip, "--only-binary", ":all:", "--dest", wheels, "--requirement", lock], log, seconds=1800)
        (wheel,) = wheels.glob("ansible-*.whl")
        for name in NEEDED_COLLECTIONS:
            shutil.rmtree(target / name, ignore_errors=True)
        wanted = tuple(f"ansible_collections/{name}/" for name in NEEDED_COLLECTIONS)
        with zipfile.ZipFile(wheel) as archive:
            archive.extractall(COLLECTIONS, [name for name in archive.namelist() if name.startswith(wanted)])
        shutil.rmtree(wheels)
        stamp.write_text(value, encoding="utf-8")


def link_checkout() -> None:
    link = COLLECTIONS / "ansible_collections" / NAMESPACE / NAME
    target = os.path.relpath(ROOT, link.parent)
    if link.is_symlink() and str(link.readlink()) == target:
        return
    link.parent.mkdir(parents=True, exist_ok=True)
    link.unlink(missing_ok=True)
    link.symlink_to(target)
    say(f"==> the checkout is reachable as {shown(link)}")


def set_up(*, extra: bool) -> None:
    base = f"{sys.version_info.major}.{sys.version_info.minor}"
    core = "2.19" if base == "3.11" else "2.21"
    if base not in CORE_PYTHONS[core]:
        raise StepError(f"Python {base} cannot run ansible-core {core}: set PYTHON to one of 3.11 to 3.14")

    # Run from inside an environment (PATH has .venv first), this is still the Python that the environment came from.
    python = Path(getattr(sys, "_base_executable", sys.executable))
    debian_packages(ROOT / "scripts/apt-packages.txt", ROOT / "lab/apt-packages.txt", log="apt")
    core_venv(ROOT / ".venv", core, python)
    dependency_collections(core)
    link_checkout()
    if not extra:
        return

    other = "2.21" if core == "2.19" else "2.19"
    other_python, host_python = find_python(*CORE_PYTHONS[other]), find_python(OLDEST_HOST_PYTHON)
    if other_python or host_python:
        debian_packages(ROOT / "scripts/apt-packages-extra.txt", log="apt-extra")
    if other_python:
        core_venv(ROOT / f".venv-{other}", other, other_python[1])
    else:
        say(f"==> SKIPPED .venv-{other}: ansible-core {other} needs Python {' or '.join(CORE_PYTHONS[other])}")
    if host_python:
        host_venv(ROOT / ".venv-py39", core, host_python[1])
    else:
        say(f"==> SKIPPED .venv-py39: there is no Python {OLDEST_HOST_PYTHON}")


def main() -> int:
    parser = argparse.ArgumentParser(description="Make the checkout ready.")
    parser.add_argument("--extra", action="store_true", help="also the other Pythons and ansible-core")
    options = parser.parse_args()
    BUILD.mkdir(exist_ok=True)
    with (BUILD / "setup.lock").open("w", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            say("==> waiting for another set-up in this checkout")
            fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            set_up(extra=options.extra)
        except StepError as exc:
            return fail(exc)
    return 0


if __name__ == "__main__":
    sys.exit(main())
