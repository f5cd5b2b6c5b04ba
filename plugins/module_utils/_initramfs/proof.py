# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What an image must hold and what was found in it. Pure: the plan and the writer compare in the same words."""

from __future__ import annotations

import dataclasses
import fnmatch
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot import early_files
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import Listing
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import digest
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.files import (
    IN_IMAGE,
    SCRIPT_PATH,
    TAKEN_ALONG,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.generator_files import (
    MODPROBE_FILES,
    is_modprobe_file,
)


@dataclasses.dataclass(frozen=True)
class Need:
    """``files`` maps patterns of names in the image to SHA-256 digests, ``None`` for "any content";
    ``modules`` are names with underscores, dependencies included; ``taken_along`` are files that need not be
    there, but if they are, then with that content."""

    files: t.Mapping[str, str | None] = dataclasses.field(default_factory=dict)
    modules: tuple[str, ...] = ()
    taken_along: t.Mapping[str, str] = dataclasses.field(default_factory=dict)

    @property
    def is_empty(self) -> bool:
        return not self.files and not self.modules


@dataclasses.dataclass(frozen=True)
class Found:
    """What is known of an image: digests of the files that were looked for, by name, and of the modules
    that were looked for those that it holds."""

    files: t.Mapping[str, str]
    modules: tuple[str, ...]

    @classmethod
    def in_listing(cls, listing: Listing, modules: t.Iterable[str]) -> Found:
        files = {name: digest(content) for name, content in sorted(listing.contents.items())}
        return cls(files, tuple(sorted(listing.modules.intersection(modules))))

    def to_json(self) -> dict[str, t.Any]:
        return {"files": dict(self.files), "modules": list(self.modules)}

    @classmethod
    def from_json(cls, data: t.Mapping[str, t.Any]) -> Found:
        return cls(dict(data["files"]), tuple(data["modules"]))


def our_patterns() -> frozenset[str]:
    """The names under which files of this collection stand in images of any generator."""
    places = (*IN_IMAGE.values(), *early_files.IN_IMAGE.values(), TAKEN_ALONG)
    patterns = {pattern for names in places for pattern in names.values()}
    return frozenset({*patterns, MODPROBE_FILES.lstrip("/")})


def need_for(generator: str, files: t.Mapping[str, str], modules: t.Iterable[str]) -> Need:
    """What early binding, and the watchdog of a boot on trial, need in an image: ``files`` are digests by the path on
    the host; those of other generators and those that stay on the host (the hook that fills the image) are left out.
    """
    names = IN_IMAGE[generator]
    early = any(path in names for path in files)
    modprobe = {path.lstrip("/"): sha256 for path, sha256 in files.items() if is_modprobe_file(path)}
    wanted: dict[str, str | None] = {names[path]: sha256 for path, sha256 in files.items() if path in names}
    along = {TAKEN_ALONG[path]: sha256 for path, sha256 in files.items() if path in TAKEN_ALONG}
    # Modules that are loaded in the image have their options from there, all others from the root file system.
    (wanted if early else along).update(modprobe)
    needed = tuple(sorted(modules)) if wanted else ()
    places = early_files.IN_IMAGE.get(generator, {})
    wanted.update({places[path]: sha256 for path, sha256 in files.items() if path in places})
    return Need(wanted, needed, along)


def acts_early(files: t.Iterable[str]) -> bool:
    """Whether any of these files of the host is for images: then a boot without them there is not what was wanted."""
    return any(path in names for path in files for names in IN_IMAGE.values())


def unserved(generator: str, files: t.Container[str]) -> str | None:
    """Why no image of ``generator`` can act on ``files`` of the host, with what to do; ``None`` where they can."""
    if SCRIPT_PATH not in files or SCRIPT_PATH in IN_IMAGE[generator]:
        return None
    return (
        f"the images of {generator} run no scripts: nothing can hold a device by its address there. Use the method ids "
        "if no other device of that model is in the host, or another initramfs generator (set initramfs_generator)"
    )


def shortfalls(need: Need, found: Found) -> list[str]:
    """What keeps the image from being right, as short texts: things that lack, differ, or must be gone."""
    troubles = []
    for pattern, sha256 in sorted({**need.files, **need.taken_along}.items()):
        digests = [found.files[name] for name in fnmatch.filter(found.files, pattern)]
        if not digests and pattern in need.files:
            troubles.append(f"lacks {pattern}")
        elif digests and sha256 is not None and sha256 not in digests:
            troubles.append(f"holds another version of {pattern}")
    troubles += [f"lacks module {module}" for module in need.modules if module not in found.modules]
    wanted = (*need.files, *need.taken_along)
    unwanted = our_patterns().difference(wanted)
    return troubles + [
        f"still holds {name}" for name in sorted(found.files) if _any(name, unwanted) and not _any(name, wanted)
    ]


def _any(name: str, patterns: t.Iterable[str]) -> bool:
    return any(fnmatch.fnmatchcase(name, pattern) for pattern in patterns)


def proven(need: Need, found: Found) -> list[str]:
    """What of ``need`` is in the image, as texts for the operator."""
    files = [
        f"/{name} sha256:{found.files[name][:12]}"
        for pattern, sha256 in sorted(need.files.items())
        for name in fnmatch.filter(found.files, pattern)
        if sha256 in (None, found.files[name])
    ]
    return [*files, *(f"module {module}" for module in need.modules if module in found.modules)]
