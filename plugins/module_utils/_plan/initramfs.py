# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The component ``initramfs``: whether every kernel's image holds what early binding will need. Pure."""

from __future__ import annotations

import itertools
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import HostStateError, InputError
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import NAMES, looked_for
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import acts_early, unserved
from ansible_collections.virtfleet.passthrough.plugins.module_utils._pci.device import Device
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan import vfio, vfio_options
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.images import image_shortfalls
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    Change,
    HostState,
    Refusal,
    Verdict,
)

NAME = "initramfs"

DEFAULTS: t.Final = {"generator": "auto", "kernels": ("all",)}


class TargetFiles(t.Protocol):
    """The files of a component that images must hold (or that fill images), as they will be: path to SHA-256."""

    def __call__(self, host: HostState, selected: t.Mapping[str, tuple[Device, ...]], /) -> t.Mapping[str, str]: ...


def _held_devices(host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> t.Mapping[str, str]:
    if not host.facts[vfio.NAME]["managed"]:
        return vfio.present_files(host)
    return vfio.target_files(vfio.boot_target(host, selected))


PROVIDERS: t.Final[tuple[TargetFiles, ...]] = (_held_devices, vfio_options.target_files)


def decide(wanted: t.Mapping[str, t.Any], host: HostState, selected: t.Mapping[str, tuple[Device, ...]]) -> Verdict:
    """``wanted``: ``generator`` and ``kernels`` as the module ``initramfs`` takes them. Images are judged against
    the files that other components (:data:`PROVIDERS`) will have written by then; whether they fit on the disk is for
    ``room.py``. ``apply`` holds the same two options, those ``planned_files`` by their digests, in ``stale`` the images
    to build, and in ``unrecorded`` those that are right and that the module has only to remember, so that no further
    plan unpacks them."""
    options = _options(wanted)
    facts = host.facts[NAME]
    refusals: tuple[Refusal, ...] = ()
    apply: dict[str, t.Any] = {
        "generator": options["generator"],
        "kernels": list(options["kernels"]),
        "planned_files": {},
        "stale": [],
        "unrecorded": [],
    }
    try:
        files = {path: sha256 for provide in PROVIDERS for path, sha256 in provide(host, selected).items()}
    except HostStateError as exc:
        return Verdict(refusals=(Refusal(None, str(exc)),), apply=apply)
    if facts["generator"] is None:
        if acts_early(files):
            refusals = (Refusal(None, f"no known initramfs generator is installed. Looked for: {looked_for()}"),)
        return Verdict(refusals=refusals, apply=apply)
    images = [
        image for image in facts["images"] if "all" in options["kernels"] or image["kernel"] in options["kernels"]
    ]
    changes = {image["path"]: tuple(_stale(image, facts["generator"], files)) for image in images}
    stale = [image for image in images if changes[image["path"]]]
    cannot = unserved(facts["generator"], files)
    obstacles = [
        cannot or (facts["obstacle"] if acts_early(files) else None),
        facts["unified_obstacle"] if stale else None,
    ]
    refusals = (
        *(Refusal(None, reason) for reason in obstacles if reason is not None),
        *(refusal for image in images for refusal in _missing(image, acts_early(files))),
    )
    apply["planned_files"] = files
    apply["stale"] = [image["path"] for image in stale]
    apply["unrecorded"] = [
        image["path"] for image in images if acts_early(files) and image not in stale and not image["recorded"]
    ]
    return Verdict(
        changes=tuple(itertools.chain.from_iterable(changes.values())),
        refusals=refusals,
        warnings=tuple(facts["remarks"]),
        apply=apply,
    )


def _options(wanted: t.Mapping[str, t.Any]) -> dict[str, t.Any]:
    unknown = sorted(set(wanted) - set(DEFAULTS))
    if unknown:
        raise InputError(f"initramfs: unknown key {unknown[0]}; expected {', '.join(sorted(DEFAULTS))}")
    options = {name: wanted.get(name) or default for name, default in DEFAULTS.items()}
    if options["generator"] not in ("auto", *NAMES):
        raise InputError(f"initramfs_generator is '{options['generator']}'; expected auto, {', '.join(NAMES)}")
    return options


def _missing(image: t.Mapping[str, t.Any], needed: bool) -> t.Iterator[Refusal]:
    if needed and image["modules_missing"]:
        names = ", ".join(image["modules_missing"])
        reason = f"kernel {image['kernel']} lacks {names}: a boot into it would leave the devices to the host"
        yield Refusal(None, f"{reason}. Install its modules or remove that kernel")


def _stale(image: t.Mapping[str, t.Any], generator: str, files: t.Mapping[str, str]) -> t.Iterator[Change]:
    troubles = image_shortfalls(image, generator, files)
    if troubles:
        before = _together(troubles) if image["present"] else None
        yield Change(f"image {image['path']}", before, "rebuilt and looked into")


def _together(troubles: t.Sequence[str]) -> str:
    """The texts with everything that lacks in one phrase: "lacks a, b and c"."""
    prefix = "lacks "
    lacking = [trouble[len(prefix) :] for trouble in troubles if trouble.startswith(prefix)]
    others = [trouble for trouble in troubles if not trouble.startswith(prefix)]
    return ", ".join([*([prefix + ", ".join(lacking)] if lacking else []), *others])
