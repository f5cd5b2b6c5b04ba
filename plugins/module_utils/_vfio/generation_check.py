# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The lines with which every script that acts during a boot asks whether this boot was made for the table. Pure text.

They need ``$prefix`` and the function ``log``, and nothing that is not built into a shell.
"""

from __future__ import annotations

import textwrap

from ansible_collections.virtfleet.passthrough.plugins.module_utils._vfio.table import GENERATION_PARAMETER, TABLE_PATH

# Leaves the generation of the running command line in $running; the last one on it counts.
READ_RUNNING = f"""\
line=
running=
{{ read -r line <"$prefix/proc/cmdline"; }} 2>/dev/null
for word in $line; do
  case $word in
    {GENERATION_PARAMETER}=*) running=${{word#*=}} ;;
  esac
done
"""


# Not empty in $meant where the table holds something for the boot that $running names.
IS_MEANT = f"""\
meant=
while read -r word number _rest; do
  [ "$word $number" != "generation $running" ] || meant=yes
done <"$prefix{TABLE_PATH}"
"""


def stay_out_of_other_boots(message: str) -> str:
    """Ends the script, after logging ``message``, where devices are held and this boot was made for another table."""
    body = f"""\
{READ_RUNNING}{IS_MEANT}if [ -z "$meant" ]; then
  log "{message}"
  exit 0
fi
"""
    return f"""\
generation=
{{ read -r word generation <"$prefix{TABLE_PATH}"; }} 2>/dev/null
if [ -n "$generation" ]; then
{textwrap.indent(body, "  ")}fi
"""
