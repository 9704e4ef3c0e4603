import asyncio
import contextlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path

from helpers.waiting import wait_until

from runner.toolbox.base import ToolCall, ToolResult
from runner.tools.shell.shell import Shell
from runner.tools.shell.tools import shell_tools
from runner.tools.spool import Spool

Use = Callable[..., Awaitable[ToolResult]]


def play(folder: Path, scenario: Callable[[Shell, Use, Use], Awaitable[None]]) -> None:
    async def scene() -> None:
        secret = {"ANTHROPIC_AUTH_TOKEN": "s3cret"}
        shell = Shell(folder, {**os.environ, **secret}, Spool(folder / "spool"))
        bash, output = shell_tools(shell)

        async def use(**arguments: object) -> ToolResult:
            return await bash.run(arguments, ToolCall("c"))

        async def look(**arguments: object) -> ToolResult:
            return await output.run(arguments, ToolCall("c"))

        try:
            await scenario(shell, use, look)
        finally:
            await shell.close()

    asyncio.run(scene())


def is_alive(pid: int) -> bool:
    try:
        state = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0]
    except OSError:
        return False
    return state != "Z"


def test_cd_export_and_functions_persist(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkdir sub; cd sub; export X=kept; f() { echo called; }")
        result = await use(command="pwd; echo $X; f")
        assert result.text.splitlines() == [str(tmp_path / "sub"), "kept", "called"]
        assert shell.cwd == tmp_path / "sub"

    play(tmp_path, scenario)


def test_time_out_kills_grandchildren_and_keeps_the_shell(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="X=kept")
        slow = await use(
            command="(sleep 1000 & echo $! > pid; echo begun; wait) | cat", timeout_ms=500
        )
        assert "begun" in slow.text
        assert "longer than 0.5 s" in slow.text
        pid = int((tmp_path / "pid").read_text())
        wait_until(lambda: not is_alive(pid), what="the grandchild is gone")
        assert (await use(command="echo $X")).text == "kept"

    play(tmp_path, scenario)


def test_output_is_capped_and_kept_in_a_file(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        result = await use(command="seq 1 100000")
        assert len(result.text) < 31_000
        assert result.text.startswith("1\n2\n")
        assert result.text.endswith("100000")
        assert "only the beginning and the end" in result.text

    play(tmp_path, scenario)


def test_output_cannot_pretend_to_be_the_end(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        fds = " ".join(f"echo 'deadbeef 0 /' >&{n} 2>/dev/null;" for n in range(3, 20))
        result = await use(command=f"{fds} echo after; (exit 7)")
        assert result.text.splitlines()[-2:] == ["after", "[exit status 7]"]

    play(tmp_path, scenario)


def test_bytes_that_are_no_text_are_shown(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        result = await use(command=r"printf '\xff\x00\033[31mred\033[0m\n10%%\r20%%\nend\n'")
        assert result.text == "\ufffdred\n20%\nend"

    play(tmp_path, scenario)


def test_exit_in_the_shell_is_survived(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkdir here; cd here")
        assert "the shell itself ended" in (await use(command="exit 3")).text
        assert (await use(command="echo again")).text == "again"

    play(tmp_path, scenario)


def test_commands_get_no_input_and_no_token(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        result = await use(command="read -r x; echo input=$?; env | grep -c s3cret")
        assert result.text.splitlines()[:2] == ["input=1", "0"]

    play(tmp_path, scenario)


def test_a_cancelled_command_ends_and_the_shell_stays(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="X=kept")
        running = asyncio.ensure_future(use(command="echo $BASHPID > pid; exec sleep 1000"))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        running.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await running
        assert (await use(command="echo usable")).text == "usable"

    play(tmp_path, scenario)


def test_background_command_is_read_and_announced(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        woken = asyncio.Event()
        shell.on_wake(woken.set)
        started = await use(command="echo out; exit 4", run_in_background=True, notify=True)
        assert "bg-1" in started.text
        ended = await look(id="bg-1", wait_ms=10_000)
        assert ended.text == "out\n[bg-1: ended with status 4]"
        assert woken.is_set()
        assert shell.take_notes() == (
            "Background command bg-1 ended with status 4; read it with bash_output.",
        )
        assert not shell.busy

    play(tmp_path, scenario)


def test_background_command_can_be_ended(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="sleep 1000 & wait", run_in_background=True)
        assert shell.busy
        ended = await look(id="bg-1", kill=True, wait_ms=5000)
        assert "ended with status" in ended.text
        assert (await look(id="bg-9")).is_error

    play(tmp_path, scenario)
