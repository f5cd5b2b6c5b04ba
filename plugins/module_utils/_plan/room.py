# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""Whether the images that are to be built find their places, at once or after a boot on trial. Pure.

An estimate from the sizes of the present images. The writers ask again with what is free then.
"""

from __future__ import annotations

import dataclasses
import os
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.image import SCRATCH
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found, need_for, shortfalls
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.space import (
    RESERVE,
    Step,
    new_size,
    scratch_size,
    shortages,
    worst_moment,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.staged import DIRECTORY
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.images import image_shortfalls
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.initramfs import NAME
from ansible_collections.virtfleet.passthrough.plugins.module_utils._plan.model import (
    DRIFT,
    IN_SYNC,
    HostState,
    Refusal,
    Verdict,
)

Images = t.Mapping[str, t.Sequence[t.Mapping[str, t.Any]]]


def with_room(verdicts: t.Mapping[str, Verdict], host: HostState, on_trial: bool) -> dict[str, Verdict]:
    """``verdicts`` with what a lack of room has against the one of ``initramfs``; ``on_trial`` says whether its images
    will be tried before they get their places."""
    verdict = verdicts.get(NAME, Verdict())
    writes = verdict.status == DRIFT or (verdict.status == IN_SYNC and verdict.apply.get("unrecorded"))
    if not writes:
        return dict(verdicts)
    facts = host.facts[NAME]
    refusals = tuple(Refusal(None, reason) for reason in _shortages(verdict, facts, host.trial, on_trial))
    return {**verdicts, NAME: dataclasses.replace(verdict, refusals=(*verdict.refusals, *refusals))}


def _shortages(
    verdict: Verdict, facts: t.Mapping[str, t.Any], trial: t.Mapping[str, t.Any], on_trial: bool
) -> list[str]:
    in_place = [
        reason
        for image in facts["images"]
        if image["path"] in verdict.apply["stale"]
        for reason in shortages(image["kernel"], image["path"], image["size"], facts["free"])
    ]
    if not on_trial:
        return in_place
    # What a captured tree has free nobody knows.
    room = trial.get("room")
    if room is None:
        return []
    tried = _tried(room, facts, verdict.apply["planned_files"])
    found = _of_a_trial(room, trial["base"], facts, verdict.apply["planned_files"], tried) if tried else ()
    instead = "" if in_place else ", or set boot_trial_mode: off, which needs less and boots without a trial"
    return [
        *(_nowhere(kernel) for kernel in trial["base"]["without_entry"] if kernel in tried),
        *(f"{reason}: make room there, for instance by removing old kernels{instead}" for reason in found),
    ]


def _nowhere(kernel: str) -> str:
    return (
        f"kernel {kernel} has no boot entry with an initramfs, so its new image would have no place once a boot on "
        "trial is kept: make its entry (update-grub, kernel-install add), or remove that kernel, or set "
        "boot_trial_mode: off"
    )


def _tried(room: t.Mapping[str, t.Any], facts: t.Mapping[str, t.Any], files: t.Mapping[str, str]) -> Images:
    """The kernels that get new images for a trial, with all their present ones."""
    images: dict[str, list[t.Mapping[str, t.Any]]] = {}
    for image in facts["images"]:
        images.setdefault(image["kernel"], []).append(image)
    wanted = {**room["early_files"], **files}
    return {
        kernel: found
        for kernel, found in images.items()
        if any(image_shortfalls(image, facts["generator"], wanted) for image in found)
    }


def _of_a_trial(
    room: t.Mapping[str, t.Any],
    base: t.Mapping[str, t.Any],
    facts: t.Mapping[str, t.Any],
    files: t.Mapping[str, str],
    tried: Images,
) -> t.Iterator[str]:
    wanted = {**room["early_files"], **files}
    ready = {
        kernel: room["staged"][kernel]["size"]
        for kernel, found in tried.items()
        if kernel in room["staged"]
        and _serves_again(room["staged"][kernel]["content"], facts["generator"], wanted, found[0])
    }
    needed = worst_moment(_steps(room, base, tried, ready), room["directories"])
    place = room["directories"][base["directory"]]
    if needed.get(place):
        needed[place] += RESERVE
    for name, size in needed.items():
        free = room["file_systems"][name]["free"]
        if size > free:
            where = ", ".join(sorted(path for path, holder in room["directories"].items() if holder == name))
            yield (
                f"the file system at {room['file_systems'][name]['point']} has {free >> 20} MiB free, and a boot on "
                f"trial needs {-(-size >> 20)} MiB there ({where}), because new images of {', '.join(sorted(tried))} "
                "lie beside the present ones until they are kept"
            )


def _serves_again(
    content: t.Mapping[str, t.Any], generator: str, files: t.Mapping[str, str], image: t.Mapping[str, t.Any]
) -> bool:
    """Whether a staged image that holds ``content`` is taken as it is."""
    need = need_for(generator, {**image["watchdog_files"], **files}, image["modules_needed"])
    return not shortfalls(need, Found.from_json(content))


def _steps(
    room: t.Mapping[str, t.Any], base: t.Mapping[str, t.Any], tried: Images, ready: t.Mapping[str, int]
) -> t.Iterator[Step]:
    """What comes and goes from the first build to the last image in its place; ``ready`` are the sizes of those that
    are staged already. What is staged stays until the end."""
    for kernel in sorted(set(tried).difference(ready)):
        work = max(scratch_size(image["size"]) for image in tried[kernel])
        yield Step(SCRATCH, work)
        yield Step(DIRECTORY, new_size(tried[kernel][0]["size"]))
        yield Step(SCRATCH, -work)
    # Arming takes away what an earlier trial has left, and copies the one image that is booted.
    yield Step(base["directory"], -room["copy"])
    if base["kernel"] in tried:
        size = next((image["size"] for image in tried[base["kernel"]] if image["path"] == base["initrd"]), 0)
        yield Step(base["directory"], ready.get(base["kernel"]) or new_size(size))
    # A commit renames that copy. Each other image is copied beside the one whose name it gets.
    for kernel in sorted(tried, key=lambda kernel: kernel != base["kernel"]):
        for number, image in enumerate(tried[kernel]):
            directory = os.path.dirname(image["path"])
            if image["path"] != base["initrd"]:
                # Fallback images, which are built when all others are in place, are larger.
                known = ready.get(kernel) if number == 0 else None
                yield Step(directory, known or new_size(image["size"]))
            yield Step(directory, -image["size"])
