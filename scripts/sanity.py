# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Build the collection and run every sanity test of ansible-test on what would be shipped.

    sanity.py .venv [--test NAME ...]

ansible-test wants a real directory …/ansible_collections/NAMESPACE/NAME, and keeps virtual environments and caches
under $HOME. Both are under .build here, so that the user's home stays as it is and a second run is quick.
"""

from __future__ import annotations

import ast
import os
import re
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path

from steps import BUILD, COLLECTIONS, ROOT, StepError, fail, find_python

TARGET_PYTHONS = ("3.8", "3.9", "3.10", "3.11", "3.12", "3.13", "3.14")


def pip_version(venv: Path) -> str:
    """Find the version of pip that this ansible-test names its bootstrap script after."""
    (source,) = venv.glob("lib/python3*/site-packages/ansible_test/_internal/python_requirements.py")
    found = re.search(r"\bpip='([0-9.]+)'", source.read_text(encoding="utf-8"))
    if not found:
        raise StepError(f"cannot tell which version of pip the ansible-test in {venv.name} starts from")
    return found[1]


def prepare_home(venv: Path, home: Path) -> None:
    cache = home / ".ansible/test/cache"
    cache.mkdir(parents=True, exist_ok=True)
    version = pip_version(venv).replace(".", "_")
    shutil.copyfile(ROOT / "scripts/get_pip.py", cache / f"get_pip_{version}.py")

    # ansible-test passes no PIP_* variables on, so what is configured outside goes through the file of this home.
    pip: list[str | Path] = [venv / "bin/python", "-m", "pip", "config", "list"]
    listing = subprocess.run(pip, capture_output=True, text=True, check=True).stdout
    settings: dict[str, str] = {}
    # Like pip itself: a variable of the environment wins over the files.
    for line in sorted(listing.splitlines(), key=lambda line: line.startswith(":env:")):
        name, value = line.split("=", 1)
        settings[name.partition(".")[2]] = " ".join(str(ast.literal_eval(value)).split())
    lines = ["[global]", *(f"{name} = {value}" for name, value in settings.items())]
    target = home / ".config/pip/pip.conf"
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text("\n".join(lines) + "\n", encoding="utf-8")

    # Real interpreters in front of pyenv's shims, which fail for every version that is not selected.
    bin_dir = home / "bin"
    shutil.rmtree(bin_dir, ignore_errors=True)
    bin_dir.mkdir()
    for version in TARGET_PYTHONS:
        found = find_python(version)
        if found:
            (bin_dir / f"python{version}").symlink_to(found[1])


def build(venv: Path, work: Path) -> Path:
    """Unpack the built collection where ansible-test accepts it."""
    tree = work / "ansible_collections"
    shutil.rmtree(tree, ignore_errors=True)
    galaxy: list[str | Path] = [
        venv / "bin/ansible-galaxy",
        "collection",
        "build",
        "--force",
        "--output-path",
        work,
        ROOT,
    ]
    done = subprocess.run(
        galaxy,
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(COLLECTIONS)},
    )
    if done.returncode:
        raise StepError(f"ansible-galaxy cannot build the collection:\n{done.stdout}{done.stderr}")
    (artefact,) = work.glob("virtfleet-passthrough-*.tar.gz")
    target = tree / "virtfleet/passthrough"
    target.mkdir(parents=True)
    with tarfile.open(artefact) as archive:
        archive.extractall(target, filter="data")
    artefact.unlink()
    # Without a repository of its own, ansible-test would ask this checkout's, which ignores all of .build.
    subprocess.run(["git", "init", "--quiet", target], check=True)
    return target


def main() -> int:
    venv = ROOT / sys.argv[1]
    work = BUILD / f"sanity{venv.name.removeprefix('.venv')}"
    home = work / "home"
    try:
        prepare_home(venv, home)
        target = build(venv, work)
    except StepError as exc:
        return fail(exc)
    path = f"{home / 'bin'}:{ROOT / venv / 'bin'}:{os.environ['PATH']}"
    tests: list[str | Path] = [venv / "bin/ansible-test", "sanity", "--color", "no", *sys.argv[2:]]
    return subprocess.run(
        tests, cwd=target, env={**os.environ, "HOME": str(home), "PATH": path}, check=False
    ).returncode


if __name__ == "__main__":
    sys.exit(main())
