"""Agents that use up whatever they can, in real containers: each attack, and what the user reads.

An attack is a command of the agent's own shell, in the middle of a turn. Whatever it does, others
are answered, and somebody who waits for this agent learns why it died and what allows more.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest
from helpers.agent import AgentHome
from helpers.engine import SweepProcess, TestSession, docker
from helpers.messages_api.server import MessagesApi
from helpers.waiting import wait_until

from contract.inbound.row import InboundStatus
from contract.jsontext import dump
from nanoclaw.containers.docker_body import (
    CPU_SHARES,
    LEAST_FILE_BYTES,
    LOG_BYTES,
    LOG_FILES,
    OOM_SCORE_ADJ,
)
from nanoclaw.containers.spec import MIB, OPEN_FILES, RUN_BYTES, TMP_BYTES
from nanoclaw.db.container_configs import ContainerConfigChange

IMAGE = "nanoclaw-agent-test"
PYTHON = "/opt/nanoclaw/bin/python"
BOMB = f"""
for n in $(seq 60); do
  {PYTHON} -c 'b = bytearray(8 << 20); import time; time.sleep(600)' &
done
sleep 60
"""
"""Many small ones: the largest process of all is the runner itself."""


def attack(command: str, *, times: int | None = None) -> str:
    """A script that runs the command when it is told to attack, and says what came of it."""
    call = {"call": {"tool": "bash", "arguments": {"command": command, "timeout_ms": 60_000}}}
    rule = {"match": "attack", "steps": [call, {"say": "survived: {result}"}]}
    return dump([rule if times is None else {**rule, "times": times}])


@pytest.fixture
def sweep(tmp_path: Path) -> Iterator[SweepProcess]:
    with SweepProcess(tmp_path, runtime="docker", image_base=IMAGE) as made:
        yield made


@pytest.fixture
def home(tmp_path: Path) -> Iterator[AgentHome]:
    """The whole host, with somebody at the terminal."""
    with MessagesApi() as api, AgentHome(tmp_path, api, "docker") as made:
        yield made


def begin(sweep: SweepProcess, command: str, change: ContainerConfigChange) -> TestSession:
    """An agent that has just been told to run the command."""
    sweep.configure(change)
    sweep.configure(ContainerConfigChange(script=attack(command)))
    session = sweep.new_session()
    sweep.start()
    session.ask("m1", "attack")
    session.wait_until_running(within=600)  # the first test may build the image
    return session


def survived(session: TestSession) -> str:
    """What the shell answered, once the turn is over."""

    def answer() -> str:
        return next((text for text in session.texts() if text.startswith("survived: ")), "")

    return wait_until(answer, within=60, what="the attacker says what came of it")


def inside(session: TestSession, command: str) -> str:
    words = ["docker", "exec", session.row().container_id or "", "bash", "-c", command]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    return done.stdout + done.stderr


def another_one_answers(sweep: SweepProcess, name: str = "other") -> None:
    session = sweep.new_session()
    session.ask(name, "hello")
    session.wait_for_answer("You said: hello", within=60)


def told(sweep: SweepProcess, part: str) -> str:
    """The only thing that the host has said in the chat."""
    wait_until(sweep.deliveries, within=60, what="the chat is told")
    (text,) = sweep.deliveries()
    assert part in text
    return text


# --- processes and processors ---------------------------------------------------------------------


def test_fork_bomb_stays_in_its_container(sweep: SweepProcess) -> None:
    limited = ContainerConfigChange(pids_limit=64)
    session = begin(sweep, ":() { : | : & }; : 2> /dev/null; sleep 2; echo", limited)
    container_id = session.wait_until_running()
    wait_until(lambda: docker("top", container_id).count("\n") > 32, within=30, what="it forks")

    another_one_answers(sweep)
    survived(session)
    session.ask("m2", "still there?")
    session.wait_for_answer("You said: still there?", within=30)
    processes = docker("top", container_id).splitlines()[1:]
    sweep.ask_to_stop(session.id)
    session.wait_until_settled(within=30)

    assert len(processes) <= 64
    wait_until(lambda: container_id not in sweep.containers(), what="its container is gone")


def test_agent_without_a_free_process_says_so_in_its_chat(sweep: SweepProcess) -> None:
    hog = f"{PYTHON} -c \"import os\nwhile True:\n os.fork() or __import__('time').sleep(600)\" &"
    limited = ContainerConfigChange(pids_limit=32)
    session = begin(sweep, f"{hog} sleep 2; ls /", limited)

    assert "Resource temporarily unavailable" in survived(session)


def test_cpu_burner_starves_neither_other_agents_nor_the_host(sweep: SweepProcess) -> None:
    burn = "for n in $(seq 16); do while :; do :; done & done; sleep 600"
    session = begin(sweep, burn, ContainerConfigChange())
    container_id = session.wait_until_running()
    wait_until(lambda: docker("top", container_id).count("\n") > 16, within=30, what="it burns")

    first, second = sweep.new_session(), sweep.new_session()
    first.ask("m2", "hello")
    second.ask("m3", "hello")
    first.wait_for_answer("You said: hello", within=30)
    second.wait_for_answer("You said: hello", within=30)
    sweep.wake(session.id, times=100)  # each is answered within five seconds, or this fails

    assert session.row().is_running
    assert sweep.deliveries() == []


def test_agents_go_after_the_host_for_processors_and_before_it_for_memory(
    sweep: SweepProcess,
) -> None:
    session = begin(sweep, "cat /proc/self/oom_score_adj", ContainerConfigChange(cpus=64))
    shares = "{{.HostConfig.CpuShares}} {{.HostConfig.NanoCpus}} {{.HostConfig.OomScoreAdj}}"

    said = survived(session)
    container_id = session.wait_until_running()
    given, nano_cpus, score = docker("inspect", "-f", shares, container_id).split()
    there = int(docker("info", "-f", "{{.NCPU}}"))

    assert str(OOM_SCORE_ADJ) in said
    assert (int(given), int(score)) == (CPU_SHARES, OOM_SCORE_ADJ)
    assert int(nano_cpus) == min(64, there) * 1_000_000_000
    weight = "cat /sys/fs/cgroup/cpu/cpu.shares /sys/fs/cgroup/cpu.weight 2> /dev/null"
    assert int(inside(session, weight).split()[0]) <= CPU_SHARES
    assert inside(session, "echo -900 > /proc/self/oom_score_adj").endswith("Permission denied\n")


# --- memory ---------------------------------------------------------------------------------------


def test_memory_bomb_of_one_process_ends_that_process_only(sweep: SweepProcess) -> None:
    limited = ContainerConfigChange(memory_mb=256)
    session = begin(sweep, f"{PYTHON} -c 'bytearray(1 << 30)'; echo code $?", limited)

    assert "code 137" in survived(session)
    session.ask("m2", "still there?")
    session.wait_for_answer("You said: still there?")
    assert session.row().lease_token == 1


def test_memory_bomb_of_many_processes_is_told_and_given_up(home: AgentHome) -> None:
    home.configure(ContainerConfigChange(provider="scripted", script=attack(BOMB), memory_mb=192))
    home.start()
    home.terminal.send("attack")

    home.wait(lambda: len(home.said) == 2, "two deaths are told", within=90)

    once, twice = home.said
    assert once.startswith("I had to stop in the middle of this: it needed more memory")
    assert "I could not process your message: the agent stopped 2 times" in twice
    (group,) = home.central("SELECT id FROM agent_groups")
    for text in home.said:
        assert f"`ncl groups config update {group[0]} --memory-mb 384`" in text
    assert home.ask("hello").text == "You said: hello"


def test_death_between_two_messages_is_told(sweep: SweepProcess) -> None:
    later = f"(sleep 2; {BOMB}) > /dev/null 2>&1 & echo planned"
    session = begin(sweep, later, ContainerConfigChange(memory_mb=192))
    survived(session)

    text = told(sweep, "I had to stop between two messages: it needed more memory")

    assert "--memory-mb 384`" in text
    assert session.message("m1").status is not InboundStatus.FAILED
    session.ask("m2", "back?")
    session.wait_for_answer("You said: back?", within=30)


def test_tmpfs_filler_finds_an_end_and_the_agent_lives(sweep: SweepProcess) -> None:
    fill = "head -c 1G /dev/zero > /tmp/big; head -c 1G /dev/zero > /run/big; stat -c %s /*/big"
    session = begin(sweep, fill, ContainerConfigChange(memory_mb=128))

    said = survived(session)

    assert said.count("No space left on device") == 2
    sizes = [int(line) for line in said.splitlines() if line.isdecimal()]
    assert max(sizes) <= 32 * MIB < TMP_BYTES
    assert min(sizes) <= RUN_BYTES
    assert session.row().lease_token == 1


def test_inode_filler_in_memory_finds_an_end(sweep: SweepProcess) -> None:
    create = "import os\nfor n in range(10**6): os.close(os.open(f'/run/{n}', os.O_CREAT))"
    session = begin(sweep, f'{PYTHON} -c "{create}"; ls /run | wc -l', ContainerConfigChange())

    said = survived(session)

    assert "No space left on device" in said
    assert int(said.split()[-1]) <= RUN_BYTES // LEAST_FILE_BYTES


# --- disk -----------------------------------------------------------------------------------------


def test_disk_filler_with_one_huge_file_is_stopped_and_told(home: AgentHome) -> None:
    fill = "head -c 300M /dev/zero > huge.bin; sleep 60"
    home.configure(ContainerConfigChange(provider="scripted", script=attack(fill), disk_mb=64))
    home.start()
    home.terminal.send("attack")

    home.wait(lambda: home.said, "the reason is told", within=60)

    text = home.said[0]
    (group,) = home.central("SELECT id FROM agent_groups")
    assert "I had to stop because my files take" in text
    assert "more than the 64 MB that I may use" in text
    assert "main/huge.bin (300 MB)" in text
    assert f"`ncl groups config update {group[0]} --disk-mb 128`" in text
    home.wait(lambda: not home.containers(), "its container is gone")


def test_disk_filler_with_many_small_files_is_stopped_and_told(sweep: SweepProcess) -> None:
    fill = "mkdir small; cd small; split -b 100 -a 6 <(head -c 2M /dev/zero); sleep 60"
    session = begin(sweep, fill, ContainerConfigChange(disk_mb=32))

    text = told(sweep, "more than the 32 MB")

    assert "main/small" in text
    session.wait_until_stopped()


def test_disk_filler_with_empty_files_is_stopped_and_told(sweep: SweepProcess) -> None:
    fill = "mkdir none; seq 20000 | sed 's,^,none/,' | xargs touch; sleep 60"
    session = begin(sweep, fill, ContainerConfigChange(disk_mb=32))

    text = told(sweep, "more than the 32 MB")

    assert "main/none" in text
    session.wait_until_stopped()


def test_holes_of_a_sparse_file_take_nothing(sweep: SweepProcess) -> None:
    fill = "truncate -s 900M sparse.bin; head -c 40M /dev/zero > real.bin; sleep 60"
    begin(sweep, fill, ContainerConfigChange(disk_mb=32))

    text = told(sweep, "more than the 32 MB")

    assert "main/real.bin (40 MB)" in text
    assert "sparse" not in text or "sparse.bin (0 MB)" in text


def test_agent_above_its_disk_limit_starts_only_when_there_is_room(sweep: SweepProcess) -> None:
    session = begin(sweep, "head -c 40M /dev/zero > full.bin", ContainerConfigChange(disk_mb=32))
    told(sweep, "main/full.bin (40 MB)")
    session.wait_until_settled()
    session.ask("m2", "hello")
    wait_until(lambda: "start put off" in sweep.log(), within=15, what="it does not start")

    (sweep.paths.groups / "main" / "full.bin").unlink()

    session.wait_for_answer("You said: hello", within=40)


# --- open files and output ------------------------------------------------------------------------


def test_open_files_run_out_for_the_attacker_only(sweep: SweepProcess) -> None:
    hold = "import os, time\nn = 0\ntry:\n while True: os.dup(1); n += 1\nexcept OSError as e:"
    hold += " print(n, e.strerror, flush=True)\ntime.sleep(1)"
    session = begin(sweep, f"{PYTHON} -c '{hold}'", ContainerConfigChange())

    said = survived(session)

    assert "Too many open files" in said
    assert int(said.split("survived: ")[1].split()[0]) < OPEN_FILES
    session.ask("m2", "still there?")
    session.wait_for_answer("You said: still there?")


def test_flood_of_output_is_cut_off_in_the_engine(sweep: SweepProcess) -> None:
    flood = "yes 'a line of the flood' | head -c 30M > /proc/1/fd/1; echo code $?"
    session = begin(sweep, flood, ContainerConfigChange())

    said = survived(session)
    container_id = session.wait_until_running()
    logged = docker("logs", container_id)
    sweep.ask_to_stop(session.id)
    session.wait_until_settled(within=30)

    assert "code 0" in said
    assert "a line of the flood" in logged
    assert len(logged) <= LOG_BYTES * LOG_FILES
    assert sweep.paths.session_log(session.id).stat().st_size <= MIB
