"""``nanoclaw demo``: one message through a throw-away host, and nothing left behind.

Makes a home in the temporary folder, starts the real host on it, talks to it over the terminal
channel like any client, shows what the agent's container may do, and stops everything. Uses
Docker where an engine answers and an image is there or can be built; says so when it does not.
"""

import argparse
import contextlib
import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from nanoclaw.cli.render import print_text
from nanoclaw.config import SETTINGS, HostConfig, Runtime
from nanoclaw.containers import image_command
from nanoclaw.containers.engine_ping import ping
from nanoclaw.errors import ContainerError, NanoclawError
from nanoclaw.launch import own_command
from nanoclaw.paths import HostPaths

START_SECONDS = 20.0
STOP_SECONDS = 40.0
IMAGE_BASE = "nanoclaw-agent-demo"
"""One name for all demos: the image stays, so that the next one starts at once."""
QUESTION = "Hello from the demo. Can you hear me?"


def main(arguments: argparse.Namespace, config: HostConfig) -> int:
    """Exit code 0 when the answer came and nothing was left running."""
    with _throw_away_home() as home:
        _line("home", f"{home} (taken away at the end)")
        base = config.image_base or IMAGE_BASE
        runtime = _choose_runtime(replace(config, home=home, image_base=base))
        _line("provider", _provider(config))
        with _running_host(home, runtime, arguments) as paths:
            _talk(paths)
    _line("stopped", "no process, no container and no file is left")
    return 0


def _choose_runtime(config: HostConfig) -> Runtime:
    if config.runtime is Runtime.PROCESS:
        _line("runtime", "process: NO SANDBOX, the agent runs as an ordinary process of yours")
        return Runtime.PROCESS
    try:
        engine = ping(config.docker_host)
        _line("runtime", f"docker (an engine with API {engine.api_version} answers)")
        image_command.main(None, config)
    except ContainerError as error:
        _line("runtime", f"docker cannot be used: {error}")
        _line("", "using the process runtime instead: NO SANDBOX, for trying out only")
        return Runtime.PROCESS
    return Runtime.DOCKER


def _provider(config: HostConfig) -> str:
    if config.provider:
        return config.provider
    if config.model_key_present:
        return "claude (a model key is configured; this one answer costs a little)"
    return "scripted (no model key is configured; the answer comes from a fixed script)"


def _talk(paths: HostPaths) -> None:
    """The same client that a person uses, as its own program."""
    print_text(f"\nyou    > {QUESTION}")
    started = time.monotonic()
    command = [*own_command(), "chat", "--home", str(paths.home), "-m", QUESTION]
    answer = subprocess.run(
        command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, text=True, check=False
    )
    if answer.returncode != 0:
        raise NanoclawError(f"no answer came (the client ended with {answer.returncode})")
    print_text(f"agent  > {answer.stdout.strip()}\n")
    _line("turn", f"{time.monotonic() - started:.2f} s, the start of the agent included")


@contextmanager
def _throw_away_home() -> Iterator[Path]:
    home = Path(tempfile.mkdtemp(prefix="nanoclaw-demo-"))
    try:
        yield home
    finally:
        shutil.rmtree(home, ignore_errors=True)


@contextmanager
def _running_host(
    home: Path, runtime: Runtime, arguments: argparse.Namespace
) -> Iterator[HostPaths]:
    """The host as its own process; stopped in order, its agents included."""
    paths = HostPaths(home)
    command = [*own_command(), "run", "--home", str(home), *_settings(arguments)]
    command += ["--runtime", runtime.value, "--stop-agents-on-exit", "true"]
    if not getattr(arguments, "image_base", None):
        command += ["--image-base", IMAGE_BASE]
    output = home / "host-output.log"
    with output.open("wb") as file:
        process = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=file, stderr=file, start_new_session=True
        )
    try:
        started = time.monotonic()
        _wait_until_up(paths, process, output)
        _line("host", f"ready after {time.monotonic() - started:.2f} s, process {process.pid}")
        yield paths
    finally:
        process.terminate()
        try:
            process.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, 9)
            process.wait()


def _settings(arguments: argparse.Namespace) -> list[str]:
    """The settings that were given to the demo, for the host that it starts."""
    given = vars(arguments)
    words: list[str] = []
    for setting in SETTINGS:
        if given.get(setting.key) and setting.key not in ("runtime", "stop_agents_on_exit"):
            words += [setting.flag, str(given[setting.key])]
    return words


def _wait_until_up(paths: HostPaths, process: subprocess.Popen[bytes], output: Path) -> None:
    deadline = time.monotonic() + START_SECONDS
    while not paths.socket("cli").exists():
        if process.poll() is not None or time.monotonic() > deadline:
            said = output.read_text(errors="replace").strip().splitlines()[-1:]
            raise NanoclawError(f"the host did not start: {' '.join(said) or 'no reason given'}")
        time.sleep(0.01)


def _line(label: str, text: str) -> None:
    print_text(f"  {label:<9}{text}")
