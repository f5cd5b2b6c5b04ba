# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import dataclasses

import pytest

from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.loaders.interface import Entry
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.read_back import Generation
from ansible_collections.virtfleet.passthrough.plugins.module_utils._errors import ToolError

RUN = Generation("mkmenu", "menu.cfg stays as it was.", "mkmenu -o menu.cfg", "Run it by hand once.", "defaults")
OLD = Entry("6.1", "Linux 6.1", ("ro", "quiet"), default=True)
NEW = Entry("6.12", "Linux 6.12", ("ro", "quiet"))


def test_what_was_meant_may_have_new_kernels_beside_it() -> None:
    RUN.check([NEW, OLD], [OLD])


@pytest.mark.parametrize(
    ("found", "said"),
    [
        ([], "ended well and generated no boot entry"),
        ([NEW], "no entry 'Linux 6.1' for kernel 6.1. menu.cfg stays as it was. Run it by hand once"),
        ([dataclasses.replace(OLD, kernel="6.0")], "no entry 'Linux 6.1'"),
        ([dataclasses.replace(OLD, args=("quiet", "ro"))], "Expected: ro quiet. Generated: quiet ro. Most likely"),
    ],
)
def test_anything_less_is_an_error_that_names_it(found: list[Entry], said: str) -> None:
    with pytest.raises(ToolError) as error:
        RUN.check(found, [OLD])
    assert said in str(error.value)
