"""First code of a runner that is a child process: limits, life line, then the runner itself.

Run as a script by ``process_runtime`` with PYTHONPATH set to the unpacked runner; imports nothing
of ours before that. The end of standard input means that the sweep is gone, and then the whole
process group goes too, at once: a runner without its host must not go on working.
"""

import os
import resource
import runpy
import signal
import sys
import threading


def main() -> None:
    file_bytes, open_files = (int(word) for word in sys.argv[1:3])
    _lower(resource.RLIMIT_FSIZE, file_bytes)
    _lower(resource.RLIMIT_NOFILE, open_files)
    _lower(resource.RLIMIT_CORE, 0)
    life_line = os.dup(0)
    os.set_inheritable(life_line, False)
    nothing = os.open(os.devnull, os.O_RDONLY)
    os.dup2(nothing, 0)
    os.close(nothing)
    threading.Thread(target=_wait_for_end, args=(life_line,), daemon=True).start()
    sys.argv[1:] = []
    runpy.run_module("runner", run_name="__main__", alter_sys=True)


def _lower(which: int, limit: int) -> None:
    _soft, hard = resource.getrlimit(which)
    wanted = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
    resource.setrlimit(which, (wanted, wanted))


def _wait_for_end(life_line: int) -> None:
    while os.read(life_line, 1):
        pass
    os.killpg(0, signal.SIGKILL)


if __name__ == "__main__":
    main()
