# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

"""Stand-in for get-pip.py in ansible-test's cache: the same result from the package index and Python's own pip.

ansible-test would download that script from a server of its own, which many networks do not reach.
"""

from __future__ import annotations

import subprocess
import sys

# Options of get-pip.py that pip itself does not know.
OPTIONS = ("--no-setuptools", "--no-wheel")

if __name__ == "__main__":
    wanted = [word for word in sys.argv[1:] if word not in OPTIONS]
    subprocess.check_call([sys.executable, "-m", "ensurepip", "--default-pip"])
    subprocess.check_call([sys.executable, "-m", "pip", "install", *wanted])
