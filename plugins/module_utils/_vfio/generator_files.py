# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The files with which mkinitcpio takes the early script along, and which files of modprobe's every image must hold.

mkinitcpio has two kinds of images. With the hook ``udev`` a shell script runs the hooks: early hooks come before the
modules of ``MODULES`` and before the coldplug. With the hook ``systemd`` no hook runs, but units do. Pure text.
Sources: mkinitcpio(8), mkinitcpio.conf(5), systemd-modules-load.service(8).
"""

from __future__ import annotations

import fnmatch

from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.early_script import PREAMBLE
from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import TABLE_PATH

MKINITCPIO = "mkinitcpio"

MODPROBE_FILES = "/etc/modprobe.d/virtfleet-*.conf"

# Drop-ins are read in the order of their names, and a later one may set HOOKS anew.
DROP_IN_PATH = "/etc/mkinitcpio.conf.d/zz-virtfleet-vfio.conf"
BUILD_HOOK_PATH = "/etc/initcpio/install/virtfleet-vfio"
RUN_HOOK_PATH = "/etc/initcpio/hooks/virtfleet-vfio"
UNIT_PATH = "/etc/virtfleet-passthrough/vfio-early.service"

_UNIT_IN_IMAGE = "/usr/lib/systemd/system/virtfleet-vfio.service"


def is_modprobe_file(path: str) -> bool:
    """Whether the file of the host at ``path`` is one of ours that modprobe must find in an image as well."""
    return fnmatch.fnmatchcase(path, MODPROBE_FILES)


_DROP_IN = r"""@PREAMBLE@
# MODULES are loaded one after the other: ours before any graphics driver. vfio_virqfd is no module from Linux 6.2 on,
# and before that it comes as a dependency.
read -ra _virtfleet_words <<< "${MODULES[*]}"
MODULES=(vfio_pci vfio_iommu_type1)
for _virtfleet_word in "${_virtfleet_words[@]}"; do
  case $_virtfleet_word in
    vfio_pci | vfio-pci | vfio_iommu_type1 | vfio_virqfd) ;;
    *) MODULES+=("$_virtfleet_word") ;;
  esac
done

# Behind base, which brings the shell; what modprobe is told must be in the image too.
read -ra _virtfleet_words <<< "${HOOKS[*]}"
HOOKS=()
[[ " ${_virtfleet_words[*]} " == *" base "* ]] || HOOKS+=(virtfleet-vfio)
for _virtfleet_word in "${_virtfleet_words[@]}"; do
  [[ $_virtfleet_word == virtfleet-vfio ]] || HOOKS+=("$_virtfleet_word")
  [[ $_virtfleet_word != base ]] || HOOKS+=(virtfleet-vfio)
done
[[ " ${HOOKS[*]} " == *" modconf "* ]] || HOOKS+=(modconf)
unset _virtfleet_words _virtfleet_word
"""

_BUILD_HOOK = r"""#!/bin/bash
@PREAMBLE@
build() {
  local module program path

  for module in vfio_pci vfio_iommu_type1; do
    add_module "$module"
  done
  # With base they are busybox, which must not be put in twice.
  for program in sh readlink; do
    [[ -e $BUILDROOT/usr/bin/$program || -L $BUILDROOT/usr/bin/$program ]] ||
      add_binary "$(realpath "/usr/bin/$program")" "/usr/bin/$program"
  done
  for path in @SCRIPT@ @TABLE@ @MODPROBE@; do
    [[ ! -e $path ]] || add_file "$path"
  done
  add_file @UNIT@ @UNIT_IN_IMAGE@
  add_symlink /usr/lib/systemd/system/sysinit.target.wants/virtfleet-vfio.service @UNIT_IN_IMAGE@
  add_runscript
}

help() {
  echo "Holds PCI devices for vfio-pci before udev loads other drivers."
}
"""

_RUN_HOOK = r"""#!/usr/bin/ash
@PREAMBLE@
# Whatever it meets, the boot goes on.
run_earlyhook() {
  [ ! -r @SCRIPT@ ] || sh @SCRIPT@ || :
}
"""

_UNIT = r"""@PREAMBLE@
[Unit]
Description=Hold PCI devices for vfio-pci before udev loads other drivers
DefaultDependencies=no
ConditionPathExists=/etc/initrd-release
ConditionPathExists=@SCRIPT@
Before=systemd-modules-load.service systemd-udev-trigger.service

[Service]
Type=oneshot
ExecStart=-/usr/bin/sh @SCRIPT@
"""


def mkinitcpio_files(script: str) -> tuple[OwnedFile, ...]:
    """``script`` is the path of the early script on the host. The drop-in comes last: it calls for the others."""
    return (
        OwnedFile(UNIT_PATH, _filled(_UNIT, script)),
        OwnedFile(RUN_HOOK_PATH, _filled(_RUN_HOOK, script), 0o755),
        OwnedFile(BUILD_HOOK_PATH, _filled(_BUILD_HOOK, script), 0o755),
        OwnedFile(DROP_IN_PATH, _filled(_DROP_IN, script)),
    )


def _filled(template: str, script: str) -> bytes:
    parts = {
        "@PREAMBLE@": PREAMBLE,
        "@SCRIPT@": script,
        "@TABLE@": TABLE_PATH,
        "@MODPROBE@": MODPROBE_FILES,
        "@UNIT@": UNIT_PATH,
        "@UNIT_IN_IMAGE@": _UNIT_IN_IMAGE,
    }
    for mark, text in parts.items():
        template = template.replace(mark, text)
    return template.encode()


def mkinitcpio_in_image(script: str) -> dict[str, str]:
    """Where the files of the host stand in an image: both ways of running the script are in every one."""
    return {
        script: script.lstrip("/"),
        TABLE_PATH: TABLE_PATH.lstrip("/"),
        RUN_HOOK_PATH: "hooks/virtfleet-vfio",
        UNIT_PATH: _UNIT_IN_IMAGE.lstrip("/"),
    }
