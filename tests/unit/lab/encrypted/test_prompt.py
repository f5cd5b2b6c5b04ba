# GNU General Public License v3.0+ (see LICENSES/GPL-3.0-or-later.txt or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-FileCopyrightText: 2026 virtfleet.passthrough contributors
# SPDX-License-Identifier: GPL-3.0-or-later

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from lab import console
from lab.encrypted.prompt import Typist, answering

QUESTIONS = (
    b"Begin: Running /scripts/local-top ...\r\r\nPlease unlock disk cryptroot: ",
    "\r\n\U0001f510 Please enter passphrase for disk cryptroot: (press TAB for no echo) ".encode(),
    b"Please enter passphrase for disk QEMU HARDDISK (cryptroot):",
)


class Keyboard:
    """What a host's serial port takes."""

    def __init__(self, directory: Path) -> None:
        self.typed = b""
        self._server = socket.socket(socket.AF_UNIX)
        here = Path.cwd()
        # A socket's path is short.
        os.chdir(directory)
        try:
            self._server.bind(console.KEYBOARD)
        finally:
            os.chdir(here)
        self._server.listen()
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    def _serve(self) -> None:
        while True:
            try:
                connection, _address = self._server.accept()
            except OSError:
                return
            with connection:
                while text := connection.recv(100):
                    self.typed += text
                    # The host says something; then it is silent.
                    connection.sendall(b"\r\n")

    def close(self) -> None:
        self._server.shutdown(socket.SHUT_RDWR)
        self._server.close()
        self._thread.join(5)


@pytest.fixture
def keyboard(tmp_path: Path) -> Iterator[Keyboard]:
    keyboard = Keyboard(tmp_path)
    yield keyboard
    keyboard.close()


@pytest.mark.parametrize("question", QUESTIONS)
def test_every_question_is_answered_once(tmp_path: Path, keyboard: Keyboard, question: bytes) -> None:
    log = tmp_path / "console.log"
    typist = Typist(tmp_path, "secret words")
    typist.look()
    assert typist.answers == 0
    log.write_bytes(question)
    typist.look()
    typist.look()
    assert (typist.answers, keyboard.typed) == (1, b"secret words\n")
    with log.open("ab") as more:
        more.write(b"\r\ncryptsetup: cryptroot: set up successfully\r\n" + b"more of the boot\r\n" * 100)
    typist.look()
    typist.look()
    assert typist.answers == 1
    # The next boot, whose question comes in two pieces.
    for piece in (question[:-20], question[-20:]):
        with log.open("ab") as more:
            more.write(piece)
        typist.look()
    assert (typist.answers, typist.failures) == (2, [])
    assert keyboard.typed == b"secret words\n" * 2


def test_a_fresh_host_by_the_same_name_is_answered(tmp_path: Path, keyboard: Keyboard) -> None:
    log = tmp_path / "console.log"
    typist = Typist(tmp_path, "x")
    log.write_bytes(b"a long boot\r\n" * 100 + QUESTIONS[0])
    typist.look()
    log.write_bytes(QUESTIONS[0])
    typist.look()
    assert (typist.answers, keyboard.typed) == (2, b"x\n" * 2)


def test_a_host_that_takes_no_answer_is_told_of(tmp_path: Path) -> None:
    (tmp_path / "console.log").write_bytes(QUESTIONS[0])
    typist = Typist(tmp_path, "x")
    typist.look()
    assert typist.answers == 0
    assert len(typist.failures) == 1


def test_somebody_sits_there_for_the_length_of_a_block(tmp_path: Path, keyboard: Keyboard) -> None:
    with answering(tmp_path, "x") as typist:
        (tmp_path / "console.log").write_bytes(QUESTIONS[1])
        assert eventually(lambda: typist.answers == 1)
    assert keyboard.typed == b"x\n"


def eventually(condition: Callable[[], bool]) -> bool:
    begun = time.monotonic()
    while not condition() and time.monotonic() - begun < 20:
        time.sleep(0.1)
    return condition()
