"""Stand-ins for systemctl, loginctl, systemd-run and launchctl on a PATH of their own.

Each is a shell script that writes its words to ``calls`` and answers with the file ``<name>.out``
and the exit code in ``<name>.code``; both may also be given for one verb.
"""

from pathlib import Path

from nanoclaw.service.place import Machine
from nanoclaw.service.shell import Shell

SCRIPT = """#!/bin/sh
here="{folder}"
echo "{name} $*" >> "$here/calls"
answer="$here/{name}"
for word in "$@"; do
  [ -e "$here/{name}.$word.out" ] && answer="$here/{name}.$word"
done
[ -e "$answer.out" ] && cat "$answer.out"
[ -e "$answer.err" ] && cat "$answer.err" >&2
[ -e "$answer.code" ] && exit "$(cat "$answer.code")"
exit 0
"""
PROGRAMS = ("systemctl", "loginctl", "systemd-run", "launchctl")


class Fakes:
    """A folder of programs, what they were called with, and the machine that has them."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir(parents=True)
        for name in PROGRAMS:
            path = folder / name
            path.write_text(SCRIPT.format(folder=folder, name=name))
            path.chmod(0o755)

    def answer(self, program: str, out: str = "", *, word: str = "", code: int = 0) -> None:
        stem = f"{program}.{word}" if word else program
        (self.folder / f"{stem}.out").write_text(out)
        (self.folder / f"{stem}.err").write_text("refused by the stand-in\n" if code else "")
        (self.folder / f"{stem}.code").write_text(str(code))

    def calls(self) -> list[str]:
        path = self.folder / "calls"
        return path.read_text().splitlines() if path.exists() else []

    def shell(self) -> Shell:
        return Shell({"PATH": f"{self.folder}:/usr/bin:/bin"}, uid=1234)

    def machine(
        self,
        user_home: Path,
        *,
        platform: str = "linux",
        is_root: bool = False,
        systemd_runs: bool = True,
    ) -> Machine:
        return Machine(self.shell(), user_home, is_root, platform, systemd_runs, is_wsl=False)
