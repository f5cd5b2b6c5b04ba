# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""What a golden image is made from, and the name that follows from it."""

from __future__ import annotations

import ast
import hashlib
import os
import uuid
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import yaml

from lab.errors import LabError
from lab.paths import HERE, IMAGES

MIRROR = "http://deb.debian.org/debian"
SECURITY_MIRROR = "http://deb.debian.org/debian-security"
_SIZE = {"M": 2**20, "G": 2**30}
_KEYS = {
    "suite",
    "overlays",
    "packages",
    "disk_size",
    "esp_size",
    "masked_units",
    "disabled_units",
    "unused_hooks",
    "finish",
    "encrypted_root",
}


@dataclass(frozen=True)
class Recipe:
    """One flavour, complete: everything that decides what is inside the image."""

    flavour: str
    suite: str
    overlays: tuple[str, ...]
    packages: tuple[str, ...]
    masked_units: tuple[str, ...]
    disabled_units: tuple[str, ...]
    unused_hooks: tuple[str, ...]
    finish: tuple[str, ...]
    encrypted_root: bool
    disk_bytes: int
    esp_bytes: int
    mirror: str
    security_mirror: str
    digest: str

    @property
    def image_name(self) -> str:
        return f"{self.flavour}-{self.digest}.qcow2"

    def identifier(self, purpose: str) -> str:
        """Give a UUID that is the same for the same recipe."""
        return str(uuid.uuid5(uuid.NAMESPACE_URL, f"{self.flavour}/{self.digest}/{purpose}"))

    def finish_scripts(self) -> list[Path]:
        """Give the scripts that run inside the tree, in their order."""
        return [_finish_script(step) for step in self.finish]

    def overlay_files(self) -> Iterator[tuple[str, Path]]:
        """Give (path in the image, source file) for every file to copy in."""
        for overlay in self.overlays:
            base = IMAGES / "files" / overlay
            for source in _files(base):
                yield source.relative_to(base).as_posix(), source


def flavours() -> list[str]:
    return sorted(path.stem for path in IMAGES.glob("*.yml") if path.stem != "common")


def mirrors() -> tuple[str, str]:
    """Give where Debian's packages and their security updates come from."""
    mirror = os.environ.get("LAB_MIRROR", MIRROR)
    security = os.environ.get(
        "LAB_SECURITY_MIRROR", mirror + "-security" if "LAB_MIRROR" in os.environ else SECURITY_MIRROR
    )
    return mirror, security


def load(flavour: str, public_keys: str) -> Recipe:
    """Read a flavour; `public_keys` go into the image and hence into its name."""
    if flavour not in flavours():
        raise LabError(f"there is no image flavour {flavour!r}", cause=f"known: {', '.join(flavours())}")
    common = _read(IMAGES / "common.yml")
    own = _read(IMAGES / f"{flavour}.yml")
    merged: dict[str, object] = {**common, **own}
    for key in ("packages", "masked_units", "disabled_units", "unused_hooks", "finish"):
        merged[key] = [*_strings(common, key), *_strings(own, key)]
    overlays, finish = tuple(_strings(merged, "overlays")), tuple(_strings(merged, "finish"))
    encrypted = merged.get("encrypted_root", False) is True
    builders = ("image.py", *(("encrypted_image.py",) if encrypted else ()))
    mirror, security = mirrors()
    return Recipe(
        flavour=flavour,
        suite=str(merged["suite"]),
        overlays=overlays,
        packages=tuple(_strings(merged, "packages")),
        masked_units=tuple(_strings(merged, "masked_units")),
        disabled_units=tuple(_strings(merged, "disabled_units")),
        unused_hooks=tuple(_strings(merged, "unused_hooks")),
        finish=finish,
        encrypted_root=encrypted,
        disk_bytes=_bytes(str(merged["disk_size"])),
        esp_bytes=_bytes(str(merged["esp_size"])),
        mirror=mirror,
        security_mirror=security,
        digest=_digest(flavour, overlays, finish, builders, public_keys),
    )


def _read(path: Path) -> Mapping[str, object]:
    data = yaml.safe_load(path.read_text(encoding="utf-8"))
    if not isinstance(data, dict):
        raise LabError(f"{path}: not a mapping")
    unknown = sorted(set(data) - _KEYS)
    if unknown:
        raise LabError(f"{path}: unknown key: {', '.join(map(str, unknown))}")
    return data


def _strings(data: Mapping[str, object], key: str) -> list[str]:
    value = data.get(key, [])
    if not isinstance(value, list):
        raise LabError(f"image recipe: {key} must be a list")
    return [str(item) for item in value]


def _bytes(text: str) -> int:
    if text[-1:] not in _SIZE or not text[:-1].isdigit():
        raise LabError(f"image recipe: {text!r} is not a size", cause="write 512M or 8G")
    return int(text[:-1]) * _SIZE[text[-1]]


def fetch_scripts() -> list[Path]:
    """Give the hooks that run while the package manager can still reach the mirror."""
    return sorted((IMAGES / "fetch.d").glob("*.sh"))


def _finish_script(step: str) -> Path:
    script = IMAGES / "finish.d" / f"{step}.sh"
    if not script.is_file():
        raise LabError(f"{script}: no such file", cause="a wrong name under `finish`")
    return script


def _files(base: Path) -> list[Path]:
    if not base.is_dir():
        raise LabError(f"{base}: no such directory", cause="a wrong name under `overlays`")
    return sorted(path for path in base.rglob("*") if path.is_file())


def _digest(
    flavour: str, overlays: tuple[str, ...], finish: tuple[str, ...], builders: tuple[str, ...], public_keys: str
) -> str:
    # The mirror is left out on purpose: another mirror of the same archive, the same image.
    inputs = [IMAGES / "common.yml", IMAGES / f"{flavour}.yml", *fetch_scripts(), *map(_finish_script, finish)]
    for overlay in (*overlays, "guest"):
        inputs += _files(IMAGES / "files" / overlay)
    total = hashlib.sha256(public_keys.encode())
    for builder in builders:
        # Its meaning, not its text: comments and layout make no other image.
        total.update(ast.dump(ast.parse((HERE / builder).read_text(encoding="utf-8"))).encode())
    for path in inputs:
        executable = "x" if path.stat().st_mode & 0o100 else "-"
        name = path.relative_to(HERE).as_posix()
        content = hashlib.sha256(path.read_bytes()).hexdigest()
        total.update(f"{name} {executable} {content}\n".encode())
    return total.hexdigest()[:12]
