# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The files that start a hardware watchdog in the initramfs of a boot on trial, for every generator. Pure text.

They may stay in every image: in a boot whose command line carries no trial they do nothing, so that the image that
was tried is the one that stays.
"""

from __future__ import annotations

import fnmatch
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.parameters import (
    TRIAL_PARAMETER,
    WATCHDOG_PARAMETER,
)
from ansible_collections.virtfleet.passthrough.plugins.module_utils._boot.watchdog import KINDS, Kind
from ansible_collections.virtfleet.passthrough.plugins.module_utils._owned import OwnedFile

SCRIPT_PATH: t.Final = "/etc/virtfleet-passthrough/trial-watchdog"

INITRAMFS_TOOLS: t.Final = "initramfs-tools"
DRACUT: t.Final = "dracut"

# Before early binding (00-virtfleet-vfio), which may be what hangs.
INIT_TOP_PATH: t.Final = "/etc/initramfs-tools/scripts/init-top/00-virtfleet-trial"
HOOK_PATH: t.Final = "/etc/initramfs-tools/hooks/virtfleet-trial"
DRACUT_MODULE: t.Final = "/usr/lib/dracut/modules.d/90virtfleet-trial"
DRACUT_SETUP_PATH: t.Final = f"{DRACUT_MODULE}/module-setup.sh"
DRACUT_HOOK_PATH: t.Final = f"{DRACUT_MODULE}/virtfleet-trial.sh"

_PREAMBLE = """\
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later
#
# Written by Ansible (virtfleet.passthrough.boot_trial); changes made here will be refused, not kept.
"""

_TEMPLATE = r"""#!/bin/sh
@PREAMBLE@#
# Starts the hardware watchdog that the command line of a boot on trial names, and nothing in any other boot. Nobody
# feeds it: the machine resets unless the trial is committed, which stops it.
# The argument, if any, is put before every path: for tests.

prefix=${1:-}

log() {
  { echo "virtfleet-passthrough: $*" >>"$prefix/dev/kmsg"; } 2>/dev/null
}

set -f
line=
trial=
wanted=
{ read -r line <"$prefix/proc/cmdline"; } 2>/dev/null
for word in $line; do
  case $word in
    @TRIAL@=?*) trial=yes ;;
    @WATCHDOG@=?*,?*) wanted=${word#*=} ;;
  esac
done
set +f
[ -n "$trial" ] && [ -n "$wanted" ] || exit 0
module=${wanted%%,*}
setting=${wanted#*,}

# By path, because a busybox shell takes its own modprobe first.
program=modprobe
for candidate in "$prefix/usr/sbin/modprobe" "$prefix/sbin/modprobe" "$prefix/usr/bin/modprobe"; do
  [ ! -x "$candidate" ] || program=$candidate
done
# Its device is made by another driver, of which no image holds more than we put there.
parents=
case $module in
@PARENTS@
esac
for parent in $parents; do
  "$program" "$parent" 2>/dev/null || :
done
"$program" "$module" "$setting" nowayout=0 2>/dev/null || log "the watchdog $module cannot be loaded"

# A driver may need a moment to find its device.
for pause in 0 1 1 1; do
  [ "$pause" = 0 ] || sleep "$pause"
  for device in "$prefix"/sys/class/watchdog/watchdog*; do
    [ -r "$device/identity" ] || continue
    identity=
    { read -r identity <"$device/identity"; } 2>/dev/null
    case $module:$identity in
      @IDENTITIES@) ;;
      *) continue ;;
    esac
    # One that was loaded before us, or is built into the kernel, keeps its own time, which no boot may fit into.
    timeout=
    { read -r timeout <"$device/timeout"; } 2>/dev/null
    if [ "$timeout" != "${setting#*=}" ]; then
      log "$identity resets after ${timeout:-an unknown number of} s, not as told ($setting): it is left alone"
      continue
    fi
    # Any byte but "V" starts it, and closing without "V" leaves it running.
    if { echo 1 >"$prefix/dev/${device##*/}"; } 2>/dev/null; then
      log "$identity resets this machine unless the trial is committed ($setting)"
      exit 0
    fi
  done
done
log "the watchdog $module was not started: a hang of this boot is not covered"
exit 0
"""

SCRIPT: t.Final = (
    _TEMPLATE.replace("@PREAMBLE@", _PREAMBLE)
    .replace("@TRIAL@", TRIAL_PARAMETER)
    .replace("@WATCHDOG@", WATCHDOG_PARAMETER)
    .replace("@PARENTS@", "\n".join(f'  {kind.module}) parents="{" ".join(kind.parents)}" ;;' for kind in KINDS))
    .replace("@IDENTITIES@", "|".join(f'{kind.module}:"{kind.identity}"' for kind in KINDS))
)

_INIT_TOP = f"""\
#!/bin/sh
{_PREAMBLE}
case "${{1:-}}" in
  prereqs) exit 0 ;;
esac

# Whatever it meets, the boot goes on.
sh {SCRIPT_PATH} || :
"""

_HOOK_TEMPLATE = f"""\
#!/bin/sh
{_PREAMBLE}
case "${{1:-}}" in
  prereqs) exit 0 ;;
esac

. /usr/share/initramfs-tools/hook-functions

manual_add_modules @MODULES@
copy_file script {SCRIPT_PATH}
"""

_DRACUT_SETUP_TEMPLATE = f"""\
#!/bin/bash
{_PREAMBLE}
# In every image, also where dracut leaves out what this machine does not seem to need.
check() {{
  return 0
}}

depends() {{
  return 0
}}

installkernel() {{
  hostonly='' instmods @MODULES@
}}

install() {{
  inst_multiple sh sleep modprobe
  inst_simple {SCRIPT_PATH}
  inst_hook pre-udev 05 "$moddir/{DRACUT_HOOK_PATH.rpartition("/")[2]}"
}}
"""

_DRACUT_HOOK = f"""\
#!/bin/sh
{_PREAMBLE}
# dracut reads this into its own shell, which must neither end nor keep our settings.
sh {SCRIPT_PATH} || :
"""

_GENERATOR_FILES: t.Final[t.Mapping[str, tuple[tuple[str, str], ...]]] = {
    INITRAMFS_TOOLS: ((HOOK_PATH, _HOOK_TEMPLATE), (INIT_TOP_PATH, _INIT_TOP)),
    DRACUT: ((DRACUT_HOOK_PATH, _DRACUT_HOOK), (DRACUT_SETUP_PATH, _DRACUT_SETUP_TEMPLATE)),
}

SERVED: t.Final = frozenset(_GENERATOR_FILES)

# Which images start the hardware watchdog of a machine: the one that it boots with too, only one that is built anew,
# none. Where the machine has no watchdog, there is nothing to start and any image does.
ANY_IMAGE: t.Final = "any"
NEW_IMAGE: t.Final = "new"
NO_IMAGE: t.Final = "none"

# Where the files of the host stand in an image, as patterns: dracut's hook directory has moved over the years.
IN_IMAGE: t.Final[t.Mapping[str, t.Mapping[str, str]]] = {
    INITRAMFS_TOOLS: {
        SCRIPT_PATH: SCRIPT_PATH.lstrip("/"),
        INIT_TOP_PATH: "scripts/init-top/00-virtfleet-trial",
    },
    DRACUT: {
        SCRIPT_PATH: SCRIPT_PATH.lstrip("/"),
        DRACUT_HOOK_PATH: "*/dracut/hooks/pre-udev/05-virtfleet-trial.sh",
    },
}


def early_files(generators: t.Iterable[str], kinds: t.Iterable[Kind] = KINDS) -> tuple[OwnedFile, ...]:
    """What the host needs so that these generators put the script into their images, with the modules of ``kinds`` and
    of no other: a module in an image is loaded there whatever the administrator's blacklist says."""
    modules = " ".join(module for kind in kinds for module in (*kind.parents, kind.module))
    texts = [(SCRIPT_PATH, SCRIPT)]
    for generator in generators:
        texts.extend(_GENERATOR_FILES.get(generator, ()))
    return tuple(OwnedFile(path, text.replace("@MODULES@", modules).encode(), 0o755) for path, text in texts)


def missing_in_image(names: t.Collection[str], contents: t.Mapping[str, bytes], argument: str) -> str | None:
    """What an image with these ``names`` and the ``contents`` of the script lacks to start the watchdog of
    ``argument``; ``None`` where it has all."""
    script = SCRIPT_PATH.lstrip("/")
    if contents.get(script) != SCRIPT.encode():
        return f"the image on trial does not hold {SCRIPT_PATH} as this version writes it"
    hooks = [pattern for places in IN_IMAGE.values() for path, pattern in places.items() if path != SCRIPT_PATH]
    if not any(fnmatch.filter(names, pattern) for pattern in hooks):
        return f"the image on trial holds {SCRIPT_PATH}, but nothing that runs it"
    module = argument.partition(",")[0]
    if not any(name.rpartition("/")[2].startswith(f"{module}.ko") for name in names):
        return f"the image on trial does not hold the module {module}"
    return None
