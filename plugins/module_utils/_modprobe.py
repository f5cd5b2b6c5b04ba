# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""The configuration of modprobe as it is on a host, in the order in which modprobe goes by it.

Rules from modprobe.d(5) and libkmod (``kmod_config_new``): of files with one name that of the first directory counts;
files are read in the order of their names, whatever their directories; ``-`` in a module's name means ``_``; every
``options`` line of a module is added to the earlier ones, and the kernel heeds the last value of a parameter.
"""

from __future__ import annotations

import dataclasses
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root

DIRECTORIES = (
    "/etc/modprobe.d",
    "/run/modprobe.d",
    "/usr/local/lib/modprobe.d",
    "/usr/lib/modprobe.d",
    "/lib/modprobe.d",
)

_CONTINUATION = re.compile(r"\\\r?\n")
# Blanks inside double quotes belong to a value, as the kernel reads it (next_arg in lib/cmdline.c).
_ASSIGNMENT = re.compile(r'(?:[^\s"]|"[^"]*"?)+')


@dataclasses.dataclass(frozen=True)
class Directive:
    """One line: ``command`` (``options``, ``blacklist``, ``install``, ``softdep``, …), the module it is about with
    underscores, and the rest of the line."""

    command: str
    module: str
    rest: str
    path: str

    def __str__(self) -> str:
        return " ".join(word for word in (self.command, self.module, self.rest) if word)

    @property
    def parameters(self) -> dict[str, str | None]:
        """What an ``options`` line sets, the last value where it names one twice; ``None`` for a flag."""
        if self.command != "options":
            return {}
        pairs = (word.partition("=") for word in _ASSIGNMENT.findall(self.rest))
        return {module_name(name): value.strip('"') if equals else None for name, equals, value in pairs}

    def to_json(self) -> dict[str, str]:
        return dataclasses.asdict(self)


def module_name(text: str) -> str:
    """A module's or parameter's name as the kernel compares it."""
    return text.replace("-", "_")


def parse(text: str, path: str) -> list[Directive]:
    """The directives of one file; comments, empty lines and lines without a module are left out."""
    directives = []
    for line in _CONTINUATION.sub("", text).splitlines():
        words = line.split(None, 2)
        if len(words) < 2 or words[0].startswith("#"):
            continue
        rest = words[2].strip() if len(words) == 3 else ""
        directives.append(Directive(words[0], module_name(words[1]), rest, path))
    return directives


def effective_files(root: Root) -> list[str]:
    """The paths that modprobe reads, in its order."""
    chosen: dict[str, str] = {}
    for directory in DIRECTORIES:
        for name in root.listdir(directory):
            if name.endswith(".conf"):
                chosen.setdefault(name, f"{directory}/{name}")
    return [chosen[name] for name in sorted(chosen)]


def read_directives(root: Root) -> list[Directive]:
    """Everything that modprobe goes by on this host."""
    return [directive for path in effective_files(root) for directive in parse(root.read_text(path) or "", path)]


def contradictions(directives: t.Iterable[Directive], module: str, parameter: str, value: str) -> list[Directive]:
    """The lines that set ``parameter`` of ``module`` to something else. Values are compared as the kernel reads
    switches: ``1``, ``y`` and a bare flag are the same."""
    return [
        directive
        for directive in directives
        if directive.module == module_name(module)
        and parameter in directive.parameters
        and not same_value(directive.parameters[parameter], value)
    ]


def same_value(one: str | None, other: str | None) -> bool:
    """Whether two values mean the same to a kernel parameter (kstrtobool, and ``param_set_bool`` for a bare flag)."""
    return _meaning(one) == _meaning(other)


# kstrtobool in lib/kstrtox.c looks at the first letter, and at the second of "on" and "off".
_SWITCHES = (("Y", ("1", "y", "t", "on")), ("N", ("0", "n", "f", "of")))


def _meaning(value: str | None) -> str:
    if value is None:
        return "Y"
    text = value.strip().lower()
    if text.lstrip("-").isdigit() and text not in ("0", "1"):
        return text
    return next((meaning for meaning, starts in _SWITCHES if text.startswith(starts)), text)
