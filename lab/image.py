# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Golden images: built once per recipe, kept in the cache."""

from __future__ import annotations

import io
import os
import shutil
import subprocess
import tarfile
import tempfile
from pathlib import Path

from lab import recipe as recipes
from lab.errors import LabError
from lab.keys import Keys, keys
from lab.locking import locked
from lab.paths import IMAGES, image_cache
from lab.progress import require_space, require_tools, run, say
from lab.recipe import Recipe

_TOOLS = {
    "mmdebstrap": "mmdebstrap",
    "mke2fs": "e2fsprogs",
    "mkfs.vfat": "dosfstools",
    "mcopy": "mtools",
    "sgdisk": "gdisk",
    "qemu-img": "qemu-utils",
    "chroot": "coreutils",
}
_ALIGN = 2**20
_SYSTEM_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


def ensure(flavour: str) -> Path:
    """Give the image of a flavour, built if the recipe has changed or it is the first time."""
    pair = keys()
    recipe = _recipe(flavour, pair)
    image = image_cache() / recipe.image_name
    if image.exists():
        return image
    image_cache().mkdir(parents=True, exist_ok=True)
    # Two builds of one flavour at once would only do the same work twice.
    with locked(image_cache() / f"{flavour}.lock", f"building image {flavour}", limit=1200):
        if not image.exists():
            _build(recipe, pair, image)
    return image


def _recipe(flavour: str, pair: Keys) -> Recipe:
    return recipes.load(flavour, f"{pair.login_public}\n{pair.host_public}\n")


def _build(recipe: Recipe, pair: Keys, image: Path) -> None:
    what = f"building image {recipe.flavour}"
    require_tools(what, _TOOLS)
    if os.geteuid() != 0:
        raise LabError(what, cause="needs root (sudo): the tree holds files of many owners")
    log = image_cache() / f"{recipe.flavour}.log"
    log.unlink(missing_ok=True)
    _remove_leftovers(recipe.flavour)
    require_space(what, image_cache(), 5)
    say(f"{what} ({recipe.suite}): usually 80 to 150 s, once per recipe; log: {log}")
    work = Path(tempfile.mkdtemp(prefix=_work_prefix(recipe.flavour), dir=image_cache()))
    try:
        # mkdtemp's 0700 would keep apt's own unprivileged user out of the tree.
        work.chmod(0o755)
        tree = work / "tree"
        _install(recipe, pair, tree, work, log)
        _finish(recipe, tree, log)
        raw = work / "disk.raw"
        _assemble(recipe, tree, raw, work, log)
        packed = work / "disk.qcow2"
        run(
            "image: packing",
            ["qemu-img", "convert", "-q", "-f", "raw", "-O", "qcow2", raw, packed],
            log=log,
            limit=300,
            cause="no disk space",
        )
        packed.rename(image)
    finally:
        _remove(work)
    for old in predecessors(image):
        # Hosts that still run on it keep it open; they cannot be powered on again.
        old.unlink(missing_ok=True)
    say(f"{what}: {image}")


def predecessors(image: Path) -> list[Path]:
    """Give the other images of the same flavour; one flavour's name may begin with another's."""
    flavour = image.name.rpartition("-")[0]
    return [path for path in image.parent.glob("*.qcow2") if path.name.rpartition("-")[0] == flavour and path != image]


def _work_prefix(flavour: str) -> str:
    # No flavour has a dot in its name, so one's prefix never is another's.
    return f"build-{flavour}."


def _remove_leftovers(flavour: str) -> None:
    # Of builds that were killed: the caller holds the flavour's lock, so none of them lives.
    for left in image_cache().glob(f"{_work_prefix(flavour)}*"):
        _remove(left)


def _remove(work: Path) -> None:
    # A build that was killed may have left /proc and /sys mounted in its tree.
    mounts = [line.split()[1] for line in Path("/proc/self/mounts").read_text(encoding="utf-8").splitlines()]
    for mount in reversed([path for path in mounts if path.startswith(f"{work}/")]):
        subprocess.run(["umount", "--lazy", mount], check=True, timeout=60)
    shutil.rmtree(work, ignore_errors=True)


def _install(recipe: Recipe, pair: Keys, tree: Path, work: Path, log: Path) -> None:
    overlay = work / "overlay.tar"
    _write_overlay(recipe, pair, overlay)
    sources = [
        f"deb {recipe.mirror} {recipe.suite} main",
        f"deb {recipe.mirror} {recipe.suite}-updates main",
        f"deb {recipe.security_mirror} {recipe.suite}-security main",
    ]
    excluded = ("/usr/share/man/*", "/usr/share/doc/*", "/usr/share/locale/*")
    command: list[str | Path] = [
        "mmdebstrap",
        "--mode=root",
        "--variant=minbase",
        f"--include={','.join(recipe.packages)}",
        '--aptopt=APT::Install-Recommends "false"',
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in excluded),
        # Before the packages, so that the initramfs is generated once, with these settings.
        f"--essential-hook=tar-in {overlay} /",
        *(f"--customize-hook={script}" for script in recipes.fetch_scripts()),
        recipe.suite,
        tree,
        *sources,
    ]
    run(
        "image: installing packages (usually 50 to 100 s)",
        command,
        log=log,
        limit=900,
        cause="is the Debian mirror reachable? (LAB_MIRROR)",
    )


def _write_overlay(recipe: Recipe, pair: Keys, target: Path) -> None:
    root_uuid, esp_uuid = recipe.identifier("root"), _fat_identifier(recipe)
    written = {
        "root/.ssh/authorized_keys": (f"{pair.login_public} lab\n", 0o600),
        "etc/ssh/ssh_host_ed25519_key": (pair.host.read_text(encoding="ascii"), 0o600),
        "etc/ssh/ssh_host_ed25519_key.pub": (f"{pair.host_public} lab\n", 0o644),
        # A machine-id that is there already: the first boot need not be a first boot.
        "etc/machine-id": (f"{_machine_id(recipe)}\n", 0o444),
        # nofail: what a login needs does not wait for the ESP.
        "etc/fstab": (
            f"UUID={root_uuid} / ext4 errors=remount-ro 0 1\nUUID={esp_uuid} /boot/efi vfat umask=0077,nofail 0 0\n",
            0o644,
        ),
    }
    with tarfile.open(target, "w") as archive:
        for name, source in recipe.overlay_files():
            mode = 0o755 if source.stat().st_mode & 0o100 else 0o644
            _add(archive, name, source.read_bytes(), mode)
        for name, (text, mode) in written.items():
            _add(archive, name, text.encode(), mode)
        for name in ("init", "guest"):
            source = IMAGES / "files" / "guest" / name
            if source.exists():
                _add(archive, f"usr/lib/lab-guest/{name}", source.read_bytes(), 0o755)


def _add(archive: tarfile.TarFile, name: str, content: bytes, mode: int) -> None:
    parents = Path(name).parents
    known = set(archive.getnames())
    for parent in reversed(parents):
        if parent.name and parent.as_posix() not in known:
            entry = tarfile.TarInfo(parent.as_posix())
            entry.type = tarfile.DIRTYPE
            # What sshd insists on for root's own; elsewhere the usual.
            entry.mode = 0o700 if parent.as_posix().startswith("root") else 0o755
            archive.addfile(entry)
    entry = tarfile.TarInfo(name)
    entry.size = len(content)
    entry.mode = mode
    archive.addfile(entry, io.BytesIO(content))


def _finish(recipe: Recipe, tree: Path, log: Path) -> None:
    # Nothing is mounted in the tree: /sys, /proc and /dev are plain directories there.
    env = {
        "PATH": _SYSTEM_PATH,
        "LC_ALL": "C",
        "ROOT_UUID": recipe.identifier("root"),
        "MACHINE_ID": _machine_id(recipe),
        "MASKED": " ".join(recipe.masked_units),
        "DISABLED": " ".join(recipe.disabled_units),
        "UNUSED_HOOKS": " ".join(recipe.unused_hooks),
    }
    script = tree / "finish.sh"
    for source in recipe.finish_scripts():
        shutil.copy(source, script)
        run(f"image: {source.stem}", ["chroot", tree, "/bin/sh", "/finish.sh"], log=log, limit=300, env=env)
    script.unlink()
    # Only now: mmdebstrap keeps these two for itself while it works.
    (tree / "etc/hostname").write_text("lab\n", encoding="ascii")
    (tree / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 lab\n", encoding="ascii")
    resolver = tree / "etc/resolv.conf"
    resolver.unlink(missing_ok=True)
    # The address of the name server in QEMU's user-mode network.
    resolver.write_text("nameserver 10.0.2.3\n", encoding="ascii")


def _assemble(recipe: Recipe, tree: Path, raw: Path, work: Path, log: Path) -> None:
    esp = work / "esp.img"
    with esp.open("wb") as handle:
        handle.truncate(recipe.esp_bytes)
    serial = _fat_identifier(recipe).replace("-", "")
    run("image: ESP", ["mkfs.vfat", "-F", "32", "-i", serial, esp], log=log, limit=60)
    mount_point = tree / "boot/efi"
    content = sorted(mount_point.iterdir())
    run("image: ESP content", ["mcopy", "-s", "-i", esp, *content, "::/"], log=log, limit=60)
    shutil.rmtree(mount_point)
    mount_point.mkdir()

    with raw.open("wb") as handle:
        handle.truncate(recipe.disk_bytes)
    root_begin = _ALIGN + recipe.esp_bytes
    # The last MiB holds the backup partition table.
    root_bytes = recipe.disk_bytes - root_begin - _ALIGN
    sectors = {
        "esp": (_ALIGN // 512, root_begin // 512 - 1),
        "root": (root_begin // 512, (root_begin + root_bytes) // 512 - 1),
    }
    run(
        "image: partitions",
        [
            "sgdisk",
            f"--disk-guid={recipe.identifier('disk')}",
            f"--new=1:{sectors['esp'][0]}:{sectors['esp'][1]}",
            "--typecode=1:ef00",
            f"--new=2:{sectors['root'][0]}:{sectors['root'][1]}",
            "--typecode=2:8304",
            raw,
        ],
        log=log,
        limit=60,
    )
    with raw.open("r+b") as disk, esp.open("rb") as source:
        disk.seek(_ALIGN)
        shutil.copyfileobj(source, disk, 2**20)
    run(
        "image: root file system",
        [
            "mke2fs",
            *("-q", "-F", "-t", "ext4", "-L", "root", "-U", recipe.identifier("root")),
            # GRUB 2.06 cannot read the first of these; newer e2fsprogs switch both on.
            *("-O", "^metadata_csum_seed,^orphan_file"),
            *("-E", f"offset={root_begin},lazy_itable_init=1,hash_seed={recipe.identifier('hash')}"),
            *("-d", tree, raw, f"{root_bytes // 1024}k"),
        ],
        log=log,
        limit=300,
        cause="no disk space",
    )


def _machine_id(recipe: Recipe) -> str:
    return recipe.identifier("machine").replace("-", "")


def _fat_identifier(recipe: Recipe) -> str:
    digits = recipe.digest[:8].upper()
    return f"{digits[:4]}-{digits[4:]}"
