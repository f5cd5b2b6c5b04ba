# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

# This module util is PRIVATE to the collection: names and behaviour change without notice.

"""A file of somebody else in which our run of arguments stands: within its one line, or within one shell variable.

The line's other arguments belong to people and to the distribution. What is ours is found by the runs that the
ledger records (``block.py``), and taking it out leaves the file byte for byte as it was. Only a file that was
missing is ours as a whole, and goes when our run goes.
"""

from __future__ import annotations

import dataclasses
import os
import re
import typing as t

from ansible_collections.virtfleet.passthrough.plugins.module_utils import _owned
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline import line_edit, shell_variable
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.block import recorded_blocks
from ansible_collections.virtfleet.passthrough.plugins.module_utils._cmdline.tokens import split
from ansible_collections.virtfleet.passthrough.plugins.module_utils._files import Root, remove, write_atomic
from ansible_collections.virtfleet.passthrough.plugins.module_utils._ledger import Ledger

OWNER = "kernel_cmdline"

_COMMENT = re.compile(r"^[ \t]*#.*$", re.MULTILINE)
# Bytes that are no UTF-8 pass through unchanged.
_CODEC: t.Final = ("utf-8", "surrogateescape")


@dataclasses.dataclass(frozen=True)
class LineFile:
    """``path`` as the host sees it. With ``variable``, the file is sourced by a shell and the line is that
    variable's value; without, the whole file is the line (lines that begin with ``#`` are left alone), or its
    ``first_line`` as it stands where its readers read no further.

    ``when_missing`` are the arguments of others that the file must begin with where it has to be created.
    """

    path: str
    variable: str | None = None
    when_missing: tuple[str, ...] = ()
    first_line: bool = False

    def tokens(self, root: Root) -> list[str] | None:
        """The arguments in the line, ours among them; ``None`` where there is no such file or no such variable.

        Raises :class:`RefusedError` where the variable's value is computed.
        """
        content = root.read_bytes(self.path)
        if content is None:
            return None
        text = content.decode(*_CODEC)
        if self.variable is None:
            return split(self._line(text))
        assignment = shell_variable.find_assignment(text, self.variable, self.path)
        return None if assignment is None else split(assignment.value)

    def preview(self, root: Root, ledger: Ledger, arguments: t.Sequence[str]) -> _owned.FileChange:
        """What :meth:`write` would do; writes nothing. Refuses as :meth:`tokens`."""
        present = root.read_bytes(self.path)
        if not arguments and self._is_as_we_made_it(ledger, present):
            return _owned.preview_release(root, ledger, self.path)
        if present is None:
            return _owned.FileChange(self.path, None, self._new(arguments) if arguments else None)
        after = self._edited(present.decode(*_CODEC), recorded_blocks(ledger), arguments).encode(*_CODEC)
        return _owned.FileChange(self.path, present, after, self._note(ledger, arguments))

    def write(self, root: Root, ledger: Ledger, arguments: t.Sequence[str]) -> _owned.FileChange:
        """Make ``arguments`` our run in the line, none taking it out; atomic. The ledger must be the locked one and
        name the runs that may stand there now (:func:`block.record_blocks`)."""
        change = self.preview(root, ledger, arguments)
        self._put(root, ledger, change.before, change.after)
        return change

    def restore(self, root: Root, ledger: Ledger, change: _owned.FileChange) -> None:
        """Bring back the content from before ``change``, because what follows it failed."""
        self._put(root, ledger, root.read_bytes(self.path), change.before)

    def _put(self, root: Root, ledger: Ledger, present: bytes | None, wanted: bytes | None) -> None:
        ours = self._is_as_we_made_it(ledger, present)
        if wanted is None and ours:
            _owned.release(root, ledger, self.path)
        elif wanted is not None and (present is None or ours):
            _owned.install(root, ledger, OWNER, _owned.OwnedFile(self.path, wanted))
        elif wanted != present:
            _overwrite(os.path.realpath(root.path(self.path)), wanted)
            _owned.disown(root, ledger, self.path)

    def _is_as_we_made_it(self, ledger: Ledger, present: bytes | None) -> bool:
        record = ledger.section("files").get(self.path)
        return record is not None and (present is None or _owned.is_ours(_owned.digest(present), record))

    def _note(self, ledger: Ledger, arguments: t.Sequence[str]) -> str | None:
        if arguments or self.path not in ledger.section("files"):
            return None
        return f"{self.path} was made by virtfleet.passthrough and changed by someone since: it stays, without our part"

    def _line(self, text: str) -> str:
        """What is read of the file, at the same places as there."""
        return text.partition("\n")[0] if self.first_line else _without_comments(text)

    def _new(self, arguments: t.Sequence[str]) -> bytes:
        if self.variable is not None:
            return shell_variable.add_assignment("", self.variable, " ".join(arguments)).encode(*_CODEC)
        return (" ".join((*self.when_missing, *arguments)) + "\n").encode(*_CODEC)

    def _edited(self, text: str, blocks: t.Sequence[t.Sequence[str]], new: t.Sequence[str]) -> str:
        if self.variable is None:
            edit = line_edit.edit_line(self._line(text), blocks, new)
            return text if edit is None else edit.apply(text)
        assignment = shell_variable.find_assignment(text, self.variable, self.path)
        if assignment is None:
            return shell_variable.add_assignment(text, self.variable, " ".join(new)) if new else text
        edit = line_edit.edit_line(assignment.value, blocks, new)
        edited = text if edit is None else assignment.edit(edit)
        return edited if new else shell_variable.drop_added(edited, self.variable)


def _without_comments(text: str) -> str:
    """The same places, with blanks where a comment stands."""
    return _COMMENT.sub(lambda match: " " * len(match.group()), text)


def _overwrite(path: str, content: bytes | None) -> None:
    if content is None:
        remove(path)
    else:
        write_atomic(path, content)
