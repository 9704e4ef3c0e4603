"""Attacks on the wall and on the network, as programs that run inside an agent's container.

Sent there as it is by ``attack_scene`` and run with the image's Python, so it stands alone. Each
function is one attack; what it returns is what the attacker got, or the name of the system's error.
"""

import contextlib
import ctypes
import errno
import json
import os
import platform
import shutil
import socket
import sqlite3
import stat
import subprocess
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

SECONDS = 5.0
Told = dict[str, str]

NEW_NAMESPACES = {
    "user": 0x10000000, "mount": 0x00020000, "network": 0x40000000, "processes": 0x20000000,
    "control groups": 0x02000000,
}  # fmt: skip
SYSCALLS = {
    # name: (x86_64, aarch64, arguments)
    "bpf": (321, 280, (0, 0, 0)),
    "pivot_root": (155, 41, (b"/tmp", b"/tmp")),
    "keyctl": (250, 219, (0, -3, 0)),
    "kexec_load": (246, 104, (0, 0, 0, 0)),
    "init_module": (175, 105, (0, 0, b"")),
    "open_by_handle_at": (304, 265, (-100, 0, 0)),
    "setns": (308, 268, (0, 0x20000000)),
    "reboot": (169, 142, (0xFEE1DEAD, 0x28121969, 0x01234567, 0)),
    "swapon": (167, 224, (b"/tmp/swap", 0)),
    "settimeofday": (164, 170, (b"\0" * 16, 0)),
}


def outcome(act: Callable[[], object]) -> str:
    """The name of the error, or ``done`` when the attack was let through."""
    try:
        act()
    except OSError as error:
        return errno.errorcode.get(error.errno or 0, type(error).__name__)
    return "done"


def _libc(result: int) -> None:
    if result == -1:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number))


def _c() -> ctypes.CDLL:
    return ctypes.CDLL(None, use_errno=True)


# --- network --------------------------------------------------------------------------------------


def raw_sockets() -> Told:
    kinds = {
        "icmp": (socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_ICMP),
        "icmp6": (socket.AF_INET6, socket.SOCK_RAW, socket.IPPROTO_ICMPV6),
        "frames": (socket.AF_PACKET, socket.SOCK_RAW, socket.htons(3)),
    }
    return {name: outcome(partial(_open_socket, *kind)) for name, kind in kinds.items()}


def _open_socket(family: int, kind: int, protocol: int) -> None:
    socket.socket(family, kind, protocol).close()


def virtual_machine_socket(port: str) -> str:
    """A way to the hypervisor or the host that no network namespace ends."""

    def act() -> None:
        with socket.socket(socket.AF_VSOCK, socket.SOCK_STREAM) as connection:
            connection.settimeout(SECONDS)
            connection.connect((2, int(port)))

    return outcome(act)


def interfaces() -> list[str]:
    return sorted(name for _, name in socket.if_nameindex())


def tcp(host: str, port: str) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def act() -> None:
        with socket.socket(family, socket.SOCK_STREAM) as connection:
            connection.settimeout(SECONDS)
            connection.connect((host, int(port)))

    return outcome(act)


def udp(host: str, port: str) -> str:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET

    def act() -> None:
        with socket.socket(family, socket.SOCK_DGRAM) as connection:
            connection.sendto(b"out", (host, int(port)))

    return outcome(act)


def lookup(name: str) -> str:
    try:
        socket.getaddrinfo(name, 80)
    except socket.gaierror:
        return "no name"
    return "done"


def abstract_socket(name: str) -> str:
    """Names of this kind belong to a network namespace, not to a file system."""

    def act() -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(f"\0{name}")

    return outcome(act)


def more_network() -> Told:
    """The programs that would make an interface or a route; nothing where the image has none."""
    program = shutil.which("ip")
    if program is None:
        return {}
    words = {
        "interface": ["link", "add", "x0", "type", "dummy"],
        "route": ["route", "add", "default", "dev", "lo"],
    }
    codes = {
        name: subprocess.run([program, *more], capture_output=True, check=False).returncode
        for name, more in words.items()
    }
    return {name: "refused" if code else "done" for name, code in codes.items()}


# --- the wall -------------------------------------------------------------------------------------


def place() -> Told:
    """Who and where this is: the same for the agent's own shell and for ``docker exec``."""
    lines = Path("/proc/self/status").read_text().splitlines()
    status = dict(line.split(":\t", 1) for line in lines if ":\t" in line)
    wanted = ("Uid", "Gid", "CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb")
    found = {name: status[name].strip() for name in (*wanted, "NoNewPrivs", "Seccomp")}
    for name in ("user", "mnt", "net", "pid", "ipc", "uts", "cgroup"):
        found[name] = str(Path(f"/proc/self/ns/{name}").readlink())
    return found


def become_root() -> Told:
    c = _c()
    return {
        "setuid": outcome(lambda: os.setuid(0)),
        "setresuid": outcome(lambda: os.setresuid(0, 0, 0)),
        "setgid": outcome(lambda: os.setgid(0)),
        "setgroups": outcome(lambda: os.setgroups([0])),
        "capset": outcome(lambda: _libc(c.prctl(24, 21, 0, 0, 0) and -1)),
    }


def setuid_programs() -> list[str]:
    """Users that any program with a set-id bit runs as; the agent's own copy is one of them."""
    mine = Path("/tmp/mine")
    shutil.copy(shutil.which("id") or "/usr/bin/id", mine)
    mine.chmod(0o6755)
    found = {str(mine)}
    for folder in ("/usr", "/bin", "/sbin", "/opt", "/lib"):
        for top, _, names in os.walk(folder):
            found |= {path for name in names if _has_set_id(path := f"{top}/{name}")}
    users = [_user_of(str(mine))]
    for path in sorted(found - {str(mine)}):
        users.append(_user_of(path, "-c", "id -u"))
    return users


def _has_set_id(path: str) -> bool:
    try:
        mode = os.lstat(path).st_mode
    except OSError:
        return False
    return stat.S_ISREG(mode) and bool(mode & (stat.S_ISUID | stat.S_ISGID))


def _user_of(program: str, *words: str) -> str:
    try:
        done = subprocess.run(
            [program, *(words or ("-u",))], stdin=subprocess.DEVNULL, capture_output=True,
            text=True, check=False, timeout=10,
        )  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return "refused"
    said = done.stdout.strip()
    return said if said.isdecimal() else "refused"


def root_programs() -> list[str]:
    """Which of the programs that ask for more rights give the user of root."""
    tries = {
        "sudo": ["-n", "id", "-u"], "su": ["-c", "id -u"],
        "pkexec": ["id", "-u"], "doas": ["id", "-u"],
    }  # fmt: skip
    return [
        name
        for name, words in tries.items()
        if (path := shutil.which(name)) and _user_of(path, *words) == "0"
    ]


def kernel_settings() -> Told:
    places = (
        "/proc/sys/kernel/core_pattern", "/proc/sys/kernel/modprobe", "/proc/sysrq-trigger",
        "/proc/sys/net/ipv4/ip_forward", "/proc/sys/vm/overcommit_memory",
        "/sys/kernel/mm/ksm/run", "/sys/kernel/uevent_helper", "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/pids/release_agent",
    )  # fmt: skip
    return {path: outcome(partial(_write, path)) for path in places}


def _write(path: str) -> None:
    fd = os.open(path, os.O_WRONLY)
    try:
        os.write(fd, b"1")
    finally:
        os.close(fd)


def mounts() -> Told:
    c = _c()
    acts = {
        "tmpfs": partial(c.mount, b"none", b"/tmp", b"tmpfs", 0, None),
        "proc": partial(c.mount, b"proc", b"/tmp", b"proc", 0, None),
        "bind over": partial(c.mount, b"/tmp", b"/session/in", None, 4096, None),
        "writable again": partial(c.mount, None, b"/session/in", None, 32 | 4096, None),
        "root writable": partial(c.mount, None, b"/", None, 32, None),
        "unmount": partial(c.umount2, b"/session/in", 2),
        "chroot": partial(c.chroot, b"/tmp"),
    }
    return {name: outcome(partial(_called, act)) for name, act in acts.items()}


def _called(act: Callable[[], int]) -> None:
    _libc(act())


def namespaces() -> Told:
    c = _c()
    return {
        name: outcome(partial(_called, partial(c.unshare, flag)))
        for name, flag in NEW_NAMESPACES.items()
    }


def system_calls() -> Told:
    c, is_arm = _c(), platform.machine() == "aarch64"
    told = {}
    for name, (intel, arm, arguments) in SYSCALLS.items():
        number = arm if is_arm else intel
        told[name] = outcome(partial(_called, partial(c.syscall, number, *arguments)))
    return told


def other_processes(host_pid: str) -> Told:
    c, number = _c(), int(host_pid)
    c.ptrace.argtypes = (ctypes.c_long, ctypes.c_long, ctypes.c_void_p, ctypes.c_void_p)
    return {
        "ptrace": outcome(lambda: _libc(c.ptrace(16, number, None, None))),
        "kill": outcome(lambda: os.kill(number, 0)),
        "environ": outcome(lambda: os.close(os.open(f"/proc/{number}/environ", os.O_RDONLY))),
        "root": outcome(lambda: os.close(os.open(f"/proc/{number}/root", os.O_RDONLY))),
    }


def users_of_processes() -> list[int]:
    """Of everything that can be seen in here."""
    users = set()
    for entry in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            users.add(entry.stat().st_uid)
    return sorted(users)


def devices() -> Told:
    kinds = {"disk": stat.S_IFBLK, "memory": stat.S_IFCHR}
    there = ("mem", "kmem", "sda", "vda", "kmsg", "fuse", "kvm", "net/tun", "port")
    told = {f"/dev/{name}": outcome(partial(_open, f"/dev/{name}")) for name in there}
    for folder in ("/session/out", "/tmp", "/workspace/agent"):
        for name, kind in kinds.items():
            act = partial(os.mknod, f"{folder}/{name}", 0o600 | kind, os.makedev(8, 0))
            told[f"{name} in {folder}"] = outcome(act)
    return told


def _open(path: str) -> None:
    os.close(os.open(path, os.O_RDWR))


def sockets() -> list[str]:
    """Every Unix socket that has a name in this file system."""
    found = []
    for top, folders, names in os.walk("/"):
        if top == "/":
            folders[:] = [name for name in folders if name not in ("proc", "sys")]
        for name in names:
            path = f"{top}/{name}"
            with contextlib.suppress(OSError):
                if stat.S_ISSOCK(os.lstat(path).st_mode):
                    found.append(path)
    return sorted(found)


def engine() -> Told:
    def reach(path: str) -> None:
        with socket.socket(socket.AF_UNIX) as connection:
            connection.connect(path)

    paths = (
        "/var/run/docker.sock", "/run/docker.sock",
        "/run/containerd/containerd.sock", "/run/podman/podman.sock",
    )  # fmt: skip
    return {path: outcome(partial(reach, path)) for path in paths}


# --- files of others ------------------------------------------------------------------------------


def find(marker: str) -> list[str]:
    """Files anywhere that contain the text."""
    said = subprocess.run(
        ["grep", "-ral", "--exclude-dir=proc", "--exclude-dir=sys", "-e", marker, "/"],
        stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False,
    )  # fmt: skip
    return sorted(said.stdout.split())


def mounted() -> list[str]:
    """What is mounted here, and of which folder of the host."""
    return Path("/proc/self/mountinfo").read_text().splitlines()


def read(path: str) -> str:
    return outcome(lambda: Path(path).read_bytes())


def change(folder: str) -> Told:
    """Everything that writing means, tried on a folder and on the first file in it."""
    place = Path(folder)
    planted = place / "planted"
    acts: dict[str, Callable[[], object]] = {
        "create": lambda: planted.write_text("x"),
        "folder": planted.mkdir,
        "link": lambda: planted.symlink_to("/tmp"),
        "mode": lambda: place.chmod(0o777),
        "times": lambda: os.utime(place),
    }
    file = _some_file(place)
    if file is not None:
        if file.is_file():
            acts["open"] = partial(_open, str(file))
            acts["truncate"] = lambda: os.truncate(file, 0)
        acts["remove"] = file.unlink
        acts["rename"] = lambda: file.rename(planted)
    return {name: outcome(act) for name, act in acts.items()}


def _some_file(place: Path) -> Path | None:
    """The door's folder may be passed through and not be listed."""
    try:
        found = sorted(place.iterdir())
    except PermissionError:
        found = [place / "vault.sock"]
    return next((entry for entry in found if not entry.is_dir()), None)


def write_inbound() -> str:
    with contextlib.closing(sqlite3.connect("/session/in/inbound.db")) as conn:
        try:
            conn.execute("DELETE FROM messages_in")
            conn.commit()
        except sqlite3.OperationalError as error:
            return str(error)
    return "done"


def hold_read_lock() -> None:
    """Until the input is closed or somebody ends the container."""
    conn = sqlite3.connect("/session/in/inbound.db", isolation_level=None)
    conn.execute("BEGIN")
    conn.execute("SELECT count(*) FROM messages_in").fetchall()
    sys.stdout.write("held\n")
    sys.stdout.flush()
    sys.stdin.read()


if __name__ == "__main__":
    attack, *arguments = sys.argv[1:]
    sys.stdout.write(json.dumps(globals()[attack](*arguments)) + "\n")
