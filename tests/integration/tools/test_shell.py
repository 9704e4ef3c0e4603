import asyncio
import contextlib
import os
import signal
from collections.abc import Awaitable, Callable
from pathlib import Path

from helpers.waiting import wait_until

from runner.toolbox.base import ToolCall, ToolResult
from runner.tools.shell.pump import MAX_OUTPUT_BYTES
from runner.tools.shell.session import Bash
from runner.tools.shell.shell import Shell
from runner.tools.shell.tools import shell_tools
from runner.tools.spool import Spool

Use = Callable[..., Awaitable[ToolResult]]
IMPATIENT = ((signal.SIGINT, 0.2), (signal.SIGTERM, 0.2), (signal.SIGKILL, 2.0))


def play(folder: Path, scenario: Callable[[Shell, Use, Use], Awaitable[None]]) -> None:
    async def scene() -> None:
        secret = {"ANTHROPIC_AUTH_TOKEN": "s3cret", "BASH_ENV": str(folder / "profile")}
        (folder / "profile").write_text("echo profile; PROFILE=read\n")
        shell = Shell(folder, {**os.environ, **secret}, Spool(folder / "spool"), IMPATIENT)
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
        (file,) = (tmp_path / "spool").glob("*.txt")
        assert file.read_text().splitlines() == [str(number) for number in range(1, 100_001)]
        size = file.stat().st_size
        left_out = size - 10_000 - 20_000
        assert f"{left_out} of {size} bytes left out here; the whole output is in {file}" in (
            result.text
        )

    play(tmp_path, scenario)


def test_a_flood_ends_at_the_limit_and_the_shell_stays(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="X=kept")
        result = await use(command="echo first; yes")
        assert result.text.startswith("first\ny\n")
        assert result.text.endswith("[the command was ended because its output was over 50 MB]")
        sizes = [file.stat().st_size for file in (tmp_path / "spool").glob("*.txt")]
        assert sorted(sizes) == [0, MAX_OUTPUT_BYTES]
        assert (await use(command="echo $X")).text == "kept"

    play(tmp_path, scenario)


def test_a_flood_in_the_background_ends_at_the_limit(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="yes", run_in_background=True)
        ended = await look(id="bg-1", wait_ms=30_000)
        assert ended.text.endswith("[bg-1: ended with status -9 (its output was over 50 MB)]")
        (file,) = (tmp_path / "spool").glob("*.txt")
        assert file.stat().st_size == MAX_OUTPUT_BYTES

    play(tmp_path, scenario)


def test_a_command_that_reopens_its_output_loses_nothing(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        result = await use(command="echo one; echo two >/dev/stdout; echo three")
        assert result.text == "one\ntwo\nthree"

    play(tmp_path, scenario)


def test_a_command_that_ignores_signals_is_killed(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="X=kept")
        stubborn = "trap '' INT TERM; echo begun; while :; do sleep 1000; done"
        result = await use(command=f'bash -c "{stubborn}"', timeout_ms=300)
        assert "begun" in result.text
        assert "the command was ended because it took longer than 0.3 s" in result.text
        assert (await use(command="echo $X")).text == "kept"

    play(tmp_path, scenario)


def test_a_loop_of_the_shell_itself_costs_its_variables_only(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkdir deep; cd deep")
        result = await use(command="while :; do :; done", timeout_ms=200)
        assert "a new shell starts in the same folder" in result.text
        assert (await use(command="pwd")).text == str(tmp_path / "deep")

    play(tmp_path, scenario)


def test_a_time_out_spares_what_earlier_commands_left_running(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        started = await use(command="sleep 1000 & echo $! > server")
        assert "something it started goes on" in started.text
        await use(command="(setsid sleep 1000; :) & sleep 1000", timeout_ms=300)
        server = int((tmp_path / "server").read_text())
        assert is_alive(server)
        await use(restart=True)
        wait_until(lambda: not is_alive(server), what="a restart ends it")

    play(tmp_path, scenario)


def test_what_goes_on_writes_to_the_output_of_its_command(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkfifo go; (read -r x <go; echo late) & echo early")
        first = await use(command="echo now >go; wait; echo mine")
        assert first.text == "mine"
        texts = {file.read_text() for file in (tmp_path / "spool").glob("*.txt")}
        assert texts == {"early\nlate\n", "mine\n"}

    play(tmp_path, scenario)


def test_a_command_whose_way_out_is_held_open_still_ends(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        for number in range(20):
            result = await use(command=f"sleep 1000 & echo {number}")
            assert result.text.startswith(str(number))

    play(tmp_path, scenario)


def test_the_background_has_folder_variables_and_functions(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkdir sub; cd sub; export X=kept; f() { echo called; }; Y=own")
        await use(command="pwd; echo $X $Y $PROFILE; f; X=changed", run_in_background=True)
        ended = await look(id="bg-1", wait_ms=10_000)
        assert ended.text.splitlines()[:3] == [str(tmp_path / "sub"), "kept", "called"]
        assert (await use(command="echo $X")).text == "kept"

    play(tmp_path, scenario)


def test_background_commands_are_listed(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        assert (await look()).text == "(no background commands)"
        await use(command="sleep 1000", run_in_background=True)
        await use(command="exit 3", run_in_background=True)
        await look(id="bg-2", wait_ms=10_000)
        assert (await look()).text == (
            "bg-1: still running: sleep 1000\nbg-2: ended with status 3: exit 3"
        )
        assert "bg-1: still running" in (await look(id="bg-9")).text

    play(tmp_path, scenario)


def test_a_background_command_ends_at_its_limit(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="trap '' INT TERM; sleep 1000", run_in_background=True, timeout_ms=100)
        ended = await look(id="bg-1", wait_ms=10_000)
        assert ended.text == "[bg-1: ended with status -9 (it took longer than 0.1 s)]"

    play(tmp_path, scenario)


def test_a_stubborn_background_command_can_be_ended(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="trap '' INT TERM; echo on; sleep 1000; :", run_in_background=True)
        while "on" not in (await look(id="bg-1")).text:
            await asyncio.sleep(0.01)
        ended = await look(id="bg-1", kill=True)
        assert ended.text == "[bg-1: ended with status -9 (it was stopped)]"

    play(tmp_path, scenario)


def test_a_limit_that_is_too_high_is_lowered_and_said(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        result = await use(command="true", timeout_ms=5_000_000)
        assert result.text.endswith("[timeout_ms was lowered to 600000, the highest there is]")

    play(tmp_path, scenario)


def test_a_folder_with_a_line_break_is_kept(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkdir $'a\nb'; cd $'a\nb'")
        assert shell.cwd == tmp_path / "a\nb"

    play(tmp_path, scenario)


def test_a_shell_whose_folder_is_gone_starts_in_its_home(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkdir gone; cd gone; rmdir ../gone")
        await use(restart=True)
        assert (await use(command="pwd")).text == str(tmp_path)

    play(tmp_path, scenario)


def test_branches_do_not_change_each_other(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="mkdir sub; cd sub; X=own")
        branch = shell.branch()
        try:
            (bash, _) = shell_tools(branch)
            waiting = asyncio.ensure_future(use(command="sleep 1000"))
            other = await bash.run({"command": "pwd; echo $X; cd /"}, ToolCall("c"))
            assert other.text == str(tmp_path / "sub")
            waiting.cancel()
            await asyncio.wait({waiting})
        finally:
            await branch.close()
        assert shell.cwd == tmp_path / "sub"

    play(tmp_path, scenario)


def test_a_shell_that_cannot_start_is_told(tmp_path: Path) -> None:
    async def scene() -> ToolResult:
        shell = Shell(tmp_path, {"PATH": str(tmp_path)}, Spool(tmp_path / "spool"))
        (bash, _) = shell_tools(shell)
        return await bash.run({"command": "true"}, ToolCall("c"))

    result = asyncio.run(scene())

    assert result.is_error
    assert "no shell can be started here" in result.text


def test_a_shell_that_was_killed_is_replaced(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        killed = await use(command="kill -9 $$")
        assert "the shell itself ended with status -9" in killed.text
        assert (await use(command="echo again")).text == "again"

    play(tmp_path, scenario)


def test_closing_a_shell_leaves_no_descriptor_open(tmp_path: Path) -> None:
    async def scene() -> tuple[int, int]:
        before = len(list(Path("/proc/self/fd").iterdir()))
        bash = Bash(tmp_path, dict(os.environ))
        (tmp_path / "script").write_text("sleep 1000 &")
        for number in range(3):
            await bash.run(tmp_path / "script", tmp_path / f"out{number}", 5, lambda: None)
        await bash.close()
        return before, len(list(Path("/proc/self/fd").iterdir()))

    before, after = asyncio.run(scene())

    assert before == after


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
        assert "the shell itself ended with status 3" in (await use(command="exit 3")).text
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


def test_a_command_cancelled_twice_leaves_a_usable_shell(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        stubborn = "trap '' INT TERM; echo $BASHPID > pid; while :; do sleep 1000; done"
        running = asyncio.ensure_future(use(command=f'bash -c "{stubborn}"'.replace("$", "\\$")))
        while not (tmp_path / "pid").exists():
            await asyncio.sleep(0.01)
        for _ in range(2):
            running.cancel()
            await asyncio.sleep(0.05)
        await asyncio.wait({running})
        assert running.cancelled()
        assert (await use(command="echo usable", timeout_ms=5000)).text == "usable"

    play(tmp_path, scenario)


def test_a_command_cancelled_at_any_moment_costs_no_variables(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="X=kept")
        for moment in range(15):
            running = asyncio.ensure_future(use(command="sleep 1000"))
            await asyncio.sleep(moment * 0.001)  # another moment each time, not a wait
            running.cancel()
            await asyncio.wait({running})
            assert (await use(command="echo $X")).text == "kept"

    play(tmp_path, scenario)


def test_looking_at_a_command_that_never_ends_ends(tmp_path: Path) -> None:
    async def scenario(shell: Shell, use: Use, look: Use) -> None:
        await use(command="sleep 1000", run_in_background=True)
        assert (await look(id="bg-1", wait_ms=50)).text == "[bg-1: still running]"

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
