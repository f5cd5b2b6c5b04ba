# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""What the module ``initramfs`` does."""

from __future__ import annotations

import dataclasses
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.early_watchdog import (
    install_early_files,
    wanted_early_files,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.record import read_record
from ansible_collections.virtfleet.passthrough.plugins.module_utils._commands import Runner
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import (
    HostStateError,
    InputError,
    RefusedError,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root
from ansible_collections.virtfleet.passthrough.plugins.module_utils._held_back import as_kept
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs import proof, record, staged
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.delivered import unified_obstacle
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.detection import (
    NAMES,
    bootable_images,
    require_generator,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.examine import known_content
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.interface import Generator, Image
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.kernel_modules import needed_modules
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.needs import (
    early_binding_modules,
    installed_digests,
    ours_since,
    watchdog_digests,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.proof import Found, Need
from ansible_collections.virtfleet.passthrough.plugins.module_utils._initramfs.rebuild import (
    Job,
    check_space,
    rebuild,
    sweep,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger, locked
from ansible_collections.virtfleet.passthrough.plugins.module_utils._module.runtime import Result

if t.TYPE_CHECKING:
    from ansible.module_utils.basic import AnsibleModule

GENERATOR_CHOICES = ("auto", *NAMES)


@dataclasses.dataclass(frozen=True)
class _Assessment:
    """One image against what it must hold; ``found`` is ``None`` where nobody knows what it holds."""

    job: Job
    found: Found | None
    troubles: tuple[str, ...]


def prove_and_rebuild(module: AnsibleModule, run: Runner, root: Root | None = None) -> Result:
    """Body of ``initramfs``; ``root`` is there for tests."""
    root = root or Root()
    generator = require_generator(root, module.params["generator"])
    images = _images(bootable_images(root, generator), module.params["kernels"])
    # Earlier tasks of a check have not written their files.
    foretold = module.params["planned_files"] if module.check_mode else None
    with locked(root, module.check_mode) as ledger:
        early = _bring_watchdog(root, ledger, generator, module.check_mode) if module.params["staged"] else {}
        # What is built for a trial has what its commit puts into place.
        seen, known = as_kept(root, ledger) if module.params["staged"] else (root, ledger)
        planned = installed_digests(seen, known) if foretold is None else foretold
        digests = {**watchdog_digests(root, ledger), **planned, **early}
        assessments = [
            _assess(seen, run, ledger, generator, image, digests, module.params["require"] or []) for image in images
        ]
        stale = [assessment for assessment in assessments if assessment.troubles]
        _refuse(
            proof.unserved(generator.name, digests),
            unified_obstacle(root, images) if stale else None,
            generator.obstacle(root) if proof.acts_early(digests) else None,
        )
        if module.params["staged"]:
            return _stage(module, seen, run, ledger, generator, assessments)
        check_space(root, [assessment.job for assessment in stale])
        built: dict[str, Found] = {}
        if not module.check_mode:
            sweep(root)
            staged.discard(root, ledger, _on_trial(ledger))
            for assessment in stale:
                job = assessment.job
                module.log(f"building {job.path} for kernel {job.kernel}: it " + ", ".join(assessment.troubles))
                built[job.path] = rebuild(root, run, generator, job)
                _keep(root, ledger, job, built[job.path])
                module.log(f"{job.path} is in place and proven")
            for assessment in assessments:
                if not assessment.troubles:
                    _keep(root, ledger, assessment.job, assessment.found)
        forgotten, orphans = record.forget_removed(root, ledger, _kernels(bootable_images(root, generator)))
        if forgotten and not module.check_mode:
            ledger.save()
        return Result(
            bool(stale),
            {
                "images": [_report(assessment, built) for assessment in assessments],
                "generator": generator.name,
                "staged": {},
            },
            tuple(_diff(assessment) for assessment in stale),
            tuple(
                f"{path} is left over from a kernel that was removed. It holds files of this collection, and no "
                "generator builds it again: delete it"
                for path in orphans
            ),
        )


def _bring_watchdog(root: Root, ledger: Ledger, generator: Generator, check_mode: bool) -> dict[str, str]:
    """What an image that will be tried needs to start this machine's watchdog, by its digests; installed where it is
    not there yet."""
    wanted = wanted_early_files(root, [generator.name])
    install_early_files(root, ledger, [generator.name], check_mode)
    return {file.path: _owned.digest(file.content) for file in wanted}


def _stage(
    module: AnsibleModule,
    root: Root,
    run: Runner,
    ledger: Ledger,
    generator: Generator,
    assessments: t.Sequence[_Assessment],
) -> Result:
    """Build what is stale where nothing boots with it; the images that the machine boots with stay as they are."""
    jobs, to_build = {}, {}
    for kernel in _kernels(assessment.job.image for assessment in assessments if assessment.troubles):
        present = [assessment.job.image for assessment in assessments if assessment.job.kernel == kernel]
        need = next(assessment.job.need for assessment in assessments if assessment.job.kernel == kernel)
        jobs[kernel] = staged.staged_job(kernel, present, need)
        if staged.reusable(root, ledger, jobs[kernel], present) is None:
            to_build[kernel] = present[0].path
    staged.check_room(root, list(to_build.values()))
    if not module.check_mode:
        sweep(root)
        staged.discard(root, ledger, {*_on_trial(ledger), *(job.path for job in jobs.values())})
        for kernel in to_build:
            module.log(f"building {jobs[kernel].path} for kernel {kernel}, to be tried first")
            staged.stage(root, run, ledger, generator, jobs[kernel])
            module.log(f"{jobs[kernel].path} is proven")
    return Result(
        bool(to_build),
        {
            "images": [
                {**_report(assessment, {}), "rebuilt": assessment.job.kernel in to_build} for assessment in assessments
            ],
            "generator": generator.name,
            "staged": {kernel: job.path for kernel, job in jobs.items()},
        },
        tuple(_diff(assessment) for assessment in assessments if assessment.troubles),
    )


def _on_trial(ledger: Ledger) -> frozenset[str]:
    """Staged images that a boot on trial was armed with, which its commit will want."""
    trial = read_record(ledger)
    return frozenset(image.path for image in trial.images.values()) if trial is not None else frozenset()


def _refuse(*reasons: str | None) -> None:
    reason = next((reason for reason in reasons if reason is not None), None)
    if reason is not None:
        raise RefusedError(f"{reason}. No image was changed")


def _kernels(images: t.Iterable[Image]) -> list[str]:
    return sorted({image.kernel for image in images})


def _images(images: t.Sequence[Image], wanted: t.Sequence[str]) -> list[Image]:
    installed = _kernels(images)
    if "all" in wanted:
        if not installed:
            raise HostStateError(
                "No kernel is installed: nothing in /lib/modules has a /boot/vmlinuz, a preset or a boot entry"
            )
        return list(images)
    unknown = next((kernel for kernel in wanted if kernel not in installed), None)
    if unknown is not None:
        raise InputError(
            f"kernels names {unknown}, which is not installed: installed are {', '.join(installed) or 'none'}"
        )
    return [image for image in images if image.kernel in wanted]


def _assess(
    root: Root,
    run: Runner,
    ledger: Ledger,
    generator: Generator,
    image: Image,
    digests: t.Mapping[str, str],
    require: t.Sequence[t.Mapping[str, t.Any]],
) -> _Assessment:
    path = image.path
    need = _need(root, generator, image.kernel, digests, require)
    found = known_content(root, run, ledger, path, need, ours_since(root, ledger), bool(require))
    if found is None and need.is_empty and not record.is_known(ledger, path):
        return _Assessment(Job(image, need), None, ())
    troubles = proof.shortfalls(need, found or Found({}, ()))
    if found is None and not troubles:
        troubles = ["cannot be read"]
    return _Assessment(Job(image, need), found, tuple(troubles))


def _need(
    root: Root,
    generator: Generator,
    kernel: str,
    digests: t.Mapping[str, str],
    require: t.Sequence[t.Mapping[str, t.Any]],
) -> Need:
    """What early binding needs, and what the user asked for besides; refuses what the kernel does not have."""
    early = early_binding_modules(root, kernel)
    need = proof.need_for(generator.name, digests, early.loadable)
    asked = needed_modules(root, kernel, [entry["module"] for entry in require if entry.get("module")])
    missing = [*(early.missing if proof.acts_early(digests) else ()), *asked.missing]
    if missing:
        raise HostStateError(
            f"Kernel {kernel} lacks {', '.join(missing)}: install its modules or remove the kernel. "
            "No image was changed"
        )
    files = dict(need.files)
    for entry in require:
        if entry.get("path"):
            files[entry["path"].lstrip("/")] = _wanted_digest(entry)
        elif entry.get("content") is not None or entry.get("content_sha256"):
            raise InputError("require has a content without a path: name the file in the image that it belongs to")
    return Need(files, tuple(sorted({*need.modules, *asked.loadable})), need.taken_along)


def _wanted_digest(entry: t.Mapping[str, t.Any]) -> str | None:
    if entry.get("content") is not None:
        return _owned.digest(entry["content"].encode())
    wanted: str | None = entry.get("content_sha256")
    return None if wanted is None else wanted.lower()


def _keep(root: Root, ledger: Ledger, job: Job, found: Found | None) -> None:
    """Remember what was proven. An image of which nothing is wanted is forgotten: nothing of ours is left in it."""
    stamp = record.image_stamp(root, job.path)
    before = ledger.section(record.SECTION).get(job.path)
    if job.need.is_empty or found is None or stamp is None:
        record.forget(ledger, job.path)
    else:
        record.remember(ledger, job.path, job.kernel, stamp, found)
    if ledger.section(record.SECTION).get(job.path) != before:
        ledger.save()


def _report(assessment: _Assessment, built: t.Mapping[str, Found]) -> dict[str, t.Any]:
    job = assessment.job
    found = built.get(job.path) or assessment.found
    return {
        "kernel": job.kernel,
        "path": job.path,
        "rebuilt": bool(assessment.troubles),
        "reasons": list(assessment.troubles),
        "proven": proof.proven(job.need, found) if found is not None else [],
    }


def _diff(assessment: _Assessment) -> dict[str, t.Any]:
    job = assessment.job
    before = "".join(f"{trouble}\n" for trouble in assessment.troubles)
    after = "".join(
        f"holds {name}\n" for name in [*sorted(job.need.files), *(f"module {name}" for name in job.need.modules)]
    )
    return {"before": before, "after": after, "before_header": job.path, "after_header": job.path}
