"""K1: progress on a terminal: it moves, fits, and leaves nothing behind; and nothing of it elsewhere."""

import fcntl
import os
import pty
import re
import signal
import struct
import subprocess
import termios

import pytest
from conftest import COMMAND, content, environment, ok
from test_behaviour import make_files


class Screen:
    """What a terminal shows of the few codes that are used; any other fails. Lines that scroll away are kept."""

    def __init__(self, columns):
        self.columns, self.rows, self.row, self.column = columns, [""], 0, 0
        self.begun = ""

    def write(self, text):
        text, self.begun = re.fullmatch(r"(.*?)(\x1b(?:\[\d*)?)?", self.begun + text, re.DOTALL).groups(default="")
        for part in re.findall(r"\x1b\[\d*[A-Za-z]|[\r\n\x1b]|[^\r\n\x1b]+", text):
            if part == "\r":
                self.column = 0
            elif part == "\n":
                self.down()
            elif part in ("\x1b[K", "\x1b[J"):
                self.rows[self.row] = self.rows[self.row][:self.column]
                if part == "\x1b[J":
                    del self.rows[self.row + 1:]
            elif re.fullmatch(r"\x1b\[\d+A", part):
                self.row -= int(part[2:-1])
                assert self.row >= 0
            else:
                assert part.isprintable(), repr(part)
                self.put(part)

    def put(self, text):
        while text:
            if self.column == self.columns:
                self.column = 0
                self.down()
            fits, text = text[:self.columns - self.column], text[self.columns - self.column:]
            line = self.rows[self.row].ljust(self.column)
            self.rows[self.row] = line[:self.column] + fits + line[self.column + len(fits):]
            self.column += len(fits)

    def down(self):
        self.row += 1
        if self.row == len(self.rows):
            self.rows.append("")

    def narrow(self, columns):
        """Wraps what is too long, as most terminals do; the cursor stays at its character."""
        line = self.rows.pop()
        self.rows += [line[at:at + columns] for at in range(0, len(line), columns)] or [""]
        self.columns, self.row, self.column = columns, len(self.rows) - 1, len(self.rows[-1])

    def text(self):
        return [row for row in self.rows if row]


class Terminal:
    """The command on a terminal of its own, which echoes keys and turns ^C into a signal."""

    def __init__(self, columns, *args, stdout=False, **env):
        self.master, slave = pty.openpty()
        self.resize(columns)
        self.screen, self.frames = Screen(columns), []
        self.process = subprocess.Popen(
            [COMMAND, *map(str, args)], env={**environment(), **env}, stdin=slave, stderr=slave, start_new_session=True,
            stdout=slave if stdout else subprocess.PIPE, preexec_fn=lambda: fcntl.ioctl(0, termios.TIOCSCTTY, 0))
        os.close(slave)

    def resize(self, columns):
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 24, columns, 0, 0))

    def narrow(self, columns):
        """While the command stands still: it draws for one width or for the other."""
        os.kill(self.process.pid, signal.SIGSTOP)
        os.waitpid(self.process.pid, os.WUNTRACED)
        os.set_blocking(self.master, False)
        try:
            self.read()
        except BlockingIOError:
            pass
        os.set_blocking(self.master, True)
        self.screen.narrow(columns)
        self.resize(columns)
        os.kill(self.process.pid, signal.SIGCONT)

    def read(self):
        """One piece; False at the end."""
        try:
            shown = os.read(self.master, 65536).decode()
        except BlockingIOError:
            raise
        except OSError:
            return False
        self.screen.write(shown)
        self.frames += re.findall(r"\x1b\[[KJ]([^\x1b\r\n]*%[^\x1b\r\n]*)", shown)
        return True

    def watch(self, frames):
        while len(self.frames) < frames:
            assert self.read(), (self.frames, self.screen.text())

    def press(self, key):
        os.write(self.master, key)

    def end(self):
        """The exit code, and what is left on the screen; all but ^C."""
        out = self.process.stdout.read().decode() if self.process.stdout else ""
        while self.read():
            pass
        code = self.process.wait(timeout=30)
        os.close(self.master)
        return code, out, self.screen.text()


def endless(tmp_path):
    """It runs until it is stopped, and knows how much there is to do."""
    return ["put", f"{tmp_path}/to/", "-n", 10_000_000, "-s", 1, "-j", 1, "-o", "file.sync=false"]


@pytest.mark.parametrize("columns", [100, 30])
def test_k1_a_terminal_shows_a_line_that_moves_and_goes_away(columns):
    terminal = Terminal(columns, "bench", "memory://pty/x", "-n", 10, "-s", "64KiB", "-d", 1.5, "-j", 2)
    code, out, left = terminal.end()
    assert (code, left) == (0, []) and out.startswith("get ")
    frames = [frame for frame in terminal.frames if "measuring" in frame]
    assert len(set(frames)) > 3 and all(len(frame) <= columns - 3 for frame in frames), frames
    shares = [int(re.search(r"(\d+)%", frame)[1]) for frame in frames]
    assert shares == sorted(shares) and shares[-1] > 50 and ("[=" in frames[-1]) == (columns > 60)


@pytest.mark.parametrize("columns", [80, 40, 20])
@pytest.mark.parametrize("stdout", [False, True])
def test_k1_an_interrupt_leaves_what_was_done_and_no_line(tmp_path, columns, stdout):
    terminal = Terminal(columns, *endless(tmp_path), stdout=stdout)
    terminal.watch(3)
    terminal.press(b"\x03")
    code, out, left = terminal.end()
    count = len(content(tmp_path))
    assert code == 130 and f"interrupted: put {count} objects" in out + "".join(left)
    assert stdout or left == []
    assert not any("%" in line for line in left), left


def test_k1_lines_of_results_and_of_progress_do_not_mix(tmp_path):
    terminal = Terminal(200, *endless(tmp_path), "-v", stdout=True)
    terminal.watch(20)
    terminal.process.send_signal(signal.SIGINT)  # not by ^C, with which a terminal drops what nobody has read yet
    code, _, (*lines, last) = terminal.end()
    assert code == 130 and last.startswith("interrupted: put "), last
    assert all(re.fullmatch(r"put file://\S+ \(1 B\)", line) for line in lines)
    assert len(set(lines)) == len(lines) == len(content(tmp_path))


def test_k1_a_terminal_that_becomes_narrower_is_left_clean(tmp_path):
    terminal = Terminal(120, *endless(tmp_path))
    for columns in [40, 13]:
        terminal.watch(len(terminal.frames) + 2)
        terminal.narrow(columns)
        terminal.watch(len(terminal.frames) + 2)
        assert len(terminal.screen.text()) == 1 and len(terminal.frames[-1]) <= columns - 3
    terminal.press(b"\x03")
    code, _, left = terminal.end()
    assert (code, left) == (130, [])


@pytest.mark.parametrize("args, env", [(["-q"], {}), ([], {"TERM": "dumb"})])
def test_k1_who_wants_no_progress_gets_none(args, env):
    terminal = Terminal(80, "bench", "memory://quiet/x", "-n", 10, "-s", 1, "-d", 0.6, "-j", 1, *args, **env)
    code, out, left = terminal.end()
    assert (code, terminal.frames, left) == (0, [], []) and out.startswith("get ")


def test_k1_not_a_terminal_no_control_codes(tmp_path):
    source = make_files(tmp_path / "source", 500, size=100_000)
    ran = ok("cp", "-r", source, tmp_path / "target", "-v")
    assert "\x1b" not in ran.out + ran.err and "\r" not in ran.out + ran.err and ran.err == ""
