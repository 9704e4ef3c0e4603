"""Makes ``.venv`` on a machine that has nothing but Python: no pip, no ensurepip, no root.

Run by every target of the Makefile (``python3 bootstrap.py``). Fetches one pip wheel whose version
and hash are pinned here, lets it install ``lock/dev.txt`` with hashes, and puts this checkout on
the path by a .pth file, so that no build backend is needed. Returns at once when nothing changed.
Uses the standard library only and honours pip's own settings (docs/adr/0012-bootstrap.md).
"""

from __future__ import annotations

import configparser
import fcntl
import hashlib
import html.parser
import os
import re
import shutil
import ssl
import subprocess
import sys
import sysconfig
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from importlib import metadata
from pathlib import Path

PIP_WHEEL = "pip-26.3-py3-none-any.whl"
PIP_SHA256 = "f3b60b20ffaadd4415ed7957212a38ac63fa4c5fa375bd0f4a797777940fad13"
MAX_WHEEL_BYTES = 16 * 1024 * 1024
TIMEOUT_SECONDS = 60
OLDEST_PYTHON = (3, 11)
DEFAULT_INDEX = "https://pypi.org/simple"
CERTIFICATE_VARIABLES = ("PIP_CERT", "SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE")
MISLEADING_VARIABLES = ("PYTHONHOME", "PYTHONPATH", "PIP_TARGET", "PIP_PREFIX", "PIP_USER")
"""Settings that would make pip install somewhere else than into .venv."""

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
LOCK = ROOT / "lock" / "dev.txt"
STAMP = VENV / "bootstrap-stamp"
COMMANDS = {"nanoclaw": "main", "ncl": "ncl_main"}


class SetupError(Exception):
    """Ends the program with one line for the user."""


def main() -> int:
    try:
        if sys.version_info < OLDEST_PYTHON:
            raise SetupError(
                f"Python 3.11 or newer is needed and {sys.executable} is "
                f"{sys.version.split()[0]}; name another one: make PYTHON=python3.12 ..."
            )
        if not _is_current():
            VENV.mkdir(exist_ok=True)
            with (VENV / "bootstrap.lock").open("w") as lock:
                fcntl.flock(lock, fcntl.LOCK_EX)
                if not _is_current():  # another make may have done the work while we waited
                    make_environment()
    except SetupError as error:
        print(f"bootstrap: {error}", file=sys.stderr)
        return 1
    except OSError as error:
        print(f"bootstrap: {error.strerror or error}: {error.filename or VENV}", file=sys.stderr)
        return 1
    return 0


def make_environment() -> None:
    """Builds or updates .venv; the stamp is written last, so that an aborted run starts over."""
    STAMP.unlink(missing_ok=True)
    python = make_venv()
    settings = PipSettings(os.environ)
    wheel = fetch_pip(settings)
    count = sum(1 for _ in locked_names())
    print(f"bootstrap: installing {count} locked packages into {VENV}", file=sys.stderr)
    site_packages = Path(sysconfig.get_path("purelib", "venv", {"base": str(VENV)}))
    run_pip(
        python, wheel, settings,
        ["install", "--require-hashes", "--no-deps", "--only-binary=:all:", "-r", str(LOCK)],
    )  # fmt: skip
    surplus = sorted(installed_names(site_packages) - set(locked_names()))
    if surplus:
        run_pip(python, wheel, settings, ["uninstall", "--yes", *surplus])
    link_checkout(python, site_packages)
    STAMP.write_text(stamp_text())


def make_venv() -> Path:
    """An environment without pip; Debian has the venv module even where ensurepip is missing."""
    try:
        import venv
    except ImportError as error:
        raise SetupError(
            f"{sys.executable} has no venv module; install the full python3 package"
        ) from error
    python = VENV / "bin" / "python"
    if not _runs_same_version(python):
        for folder in ("bin", "lib", "lib64", "include"):
            path = VENV / folder
            if path.is_symlink():
                path.unlink()
            else:
                shutil.rmtree(path, ignore_errors=True)
        print(f"bootstrap: making {VENV} for Python {sys.version.split()[0]}", file=sys.stderr)
        venv.EnvBuilder(with_pip=False, symlinks=True).create(VENV)
    return python


def _runs_same_version(python: Path) -> bool:
    try:
        answer = subprocess.run(
            [str(python), "-c", "import sys; print(sys.version, sys.prefix)"],
            capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return False
    return answer.stdout.strip() == f"{sys.version} {VENV}"


class PipSettings:
    """What pip would use: indexes, link folders and the certificate file (pip's own precedence)."""

    def __init__(self, environment: Mapping[str, str]) -> None:
        stored = _pip_config(environment)
        self.indexes = [
            *_words(environment.get("PIP_INDEX_URL") or stored.get("index-url") or DEFAULT_INDEX),
            *_words(environment.get("PIP_EXTRA_INDEX_URL") or stored.get("extra-index-url")),
        ]
        self.links = _words(environment.get("PIP_FIND_LINKS") or stored.get("find-links"))
        if environment.get("PIP_NO_INDEX", "").lower() in ("1", "true", "yes", "on"):
            self.indexes = []
        given = [environment[name] for name in CERTIFICATE_VARIABLES if environment.get(name)]
        self.certificates = (given or [stored.get("cert", "")])[0]
        if self.certificates and not Path(self.certificates).exists():
            raise SetupError(f"the certificate file {self.certificates} does not exist")

    def sources(self) -> Iterator[str]:
        """Addresses under which the pip wheel may be listed."""
        yield from self.links
        for index in self.indexes:
            yield index.rstrip("/") + "/pip/"


def _pip_config(environment: Mapping[str, str]) -> dict[str, str]:
    home = Path(environment.get("HOME") or "/")
    config_home = Path(environment.get("XDG_CONFIG_HOME") or home / ".config")
    files = [Path("/etc/pip.conf"), Path("/etc/xdg/pip/pip.conf"), home / ".pip/pip.conf"]
    files += [config_home / "pip/pip.conf", Path(environment.get("PIP_CONFIG_FILE") or os.devnull)]
    parser = configparser.RawConfigParser()
    try:
        parser.read(files)
        stored: dict[str, str] = {}
        for section in ("global", "install"):
            if parser.has_section(section):
                stored.update(parser.items(section))
    except (configparser.Error, UnicodeDecodeError) as error:
        raise SetupError(f"pip's configuration cannot be read: {error}") from error
    return stored


def _words(text: str | None) -> list[str]:
    return (text or "").split()


def fetch_pip(settings: PipSettings) -> Path:
    """The pinned pip wheel inside .venv; nothing is used before its hash is right."""
    wheel = VENV / PIP_WHEEL
    if wheel.exists() and _sha256(wheel.read_bytes()) == PIP_SHA256:
        return wheel
    tried: list[str] = []
    for source in settings.sources():
        try:
            content = _wheel_from(source, settings.certificates)
        except (OSError, ValueError) as error:
            tried.append(f"{_shown(source)} ({_reason(error)})")
            continue
        if content is None:
            tried.append(f"{_shown(source)} (does not list it)")
        elif _sha256(content) != PIP_SHA256:
            tried.append(f"{_shown(source)} (the file there has another hash)")
        else:
            wheel.write_bytes(content)
            return wheel
    raise SetupError(
        f"{PIP_WHEEL} could not be had; set PIP_INDEX_URL, the proxy or PIP_CERT if this network "
        "needs them. Tried: " + ", ".join(tried or ["nothing, as PIP_NO_INDEX is set"])
    )


def _shown(address: str) -> str:
    """The address without user name and password."""
    return re.sub(r"//[^/@]*@", "//", address)


def _reason(error: Exception) -> str:
    if isinstance(error, urllib.error.HTTPError):
        return f"HTTP {error.code}"
    if isinstance(error, urllib.error.URLError):
        return str(error.reason)
    return str(error)


def _wheel_from(source: str, certificates: str) -> bytes | None:
    """Content of the wheel that a page or folder lists; None where it is not listed."""
    if "://" not in source:
        source = Path(source).resolve().as_uri()
    if source.startswith("file:"):
        folder = Path(urllib.request.url2pathname(urllib.parse.urlsplit(source).path))
        if (folder / PIP_WHEEL).exists():
            return (folder / PIP_WHEEL).read_bytes()
        if not (folder / "index.html").exists():
            return None
        source = (folder / "index.html").as_uri()
    page, address = _download(source, certificates)
    links = _Links()
    links.feed(page.decode(errors="replace"))
    for link in links.found:
        if urllib.parse.urlsplit(link).path.rsplit("/", 1)[-1] == PIP_WHEEL:
            return _download(urllib.parse.urljoin(address, link), certificates)[0]
    return None


class _Links(html.parser.HTMLParser):
    """Collects the targets of all links of a page."""

    def __init__(self) -> None:
        super().__init__()
        self.found: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        if tag == "a":
            self.found += [value for name, value in attrs if name == "href" and value]


def _download(address: str, certificates: str) -> tuple[bytes, str]:
    """Content and final address, bounded in size and time; proxies as urllib finds them."""
    context = ssl.create_default_context(cafile=certificates or None)
    if not certificates and not _has_trust_store():
        # A minimal system has no certificates at all. That is no way in: the only thing fetched
        # here is a file whose hash is pinned above, and pip brings certificates of its own.
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
    parts = urllib.parse.urlsplit(address)
    request = urllib.request.Request(_without_login(parts), headers={"Accept": "text/html, */*"})
    if parts.username:
        login = urllib.parse.unquote(f"{parts.username}:{parts.password or ''}").encode()
        import base64

        request.add_header("Authorization", "Basic " + base64.b64encode(login).decode())
    opener = urllib.request.build_opener(urllib.request.HTTPSHandler(context=context))
    with opener.open(request, timeout=TIMEOUT_SECONDS) as answer:
        content: bytes = answer.read(MAX_WHEEL_BYTES + 1)
        final: str = answer.geturl()
    if len(content) > MAX_WHEEL_BYTES:
        raise ValueError(f"larger than {MAX_WHEEL_BYTES} bytes")
    return content, final


def _without_login(parts: urllib.parse.SplitResult) -> str:
    return urllib.parse.urlunsplit(parts._replace(netloc=parts.netloc.rpartition("@")[2]))


def _has_trust_store() -> bool:
    paths = ssl.get_default_verify_paths()
    folder = Path(paths.capath) if paths.capath else None
    return bool(paths.cafile) or bool(folder and folder.is_dir() and any(folder.iterdir()))


def run_pip(python: Path, wheel: Path, settings: PipSettings, arguments: list[str]) -> None:
    """Runs pip out of its wheel, with the environment's own interpreter."""
    command = [str(python), str(wheel / "pip"), *arguments, "-qq", "--no-input"]
    command += ["--disable-pip-version-check"]
    if settings.certificates:
        command += ["--cert", settings.certificates]
    environment = {k: v for k, v in os.environ.items() if k not in MISLEADING_VARIABLES}
    if subprocess.run(command, env=environment, check=False).returncode:
        raise SetupError(f"pip could not {arguments[0]} the packages of {LOCK}; see above")


def _normal(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def locked_names() -> Iterator[str]:
    """Names of all packages of the lock file, whether or not they apply to this platform."""
    for line in LOCK.read_text().splitlines():
        match = re.match(r"([A-Za-z0-9._-]+)==", line)
        if match:
            yield _normal(match.group(1))


def installed_names(site_packages: Path) -> set[str]:
    found = metadata.distributions(path=[str(site_packages)])
    return {_normal(item.metadata["Name"]) for item in found}


def link_checkout(python: Path, site_packages: Path) -> None:
    """Puts the checkout on the path and writes the two commands."""
    (site_packages / "nanoclaw-checkout.pth").write_text(f"{ROOT}\n")
    for command, function in COMMANDS.items():
        script = VENV / "bin" / command
        script.write_text(
            f"#!{python}\nimport sys\n\nfrom nanoclaw.__main__ import {function}\n\n"
            f"sys.exit({function}())\n"
        )
        script.chmod(0o755)


def stamp_text() -> str:
    """Changes when the lock, this file, the interpreter or the place of the checkout changes."""
    inputs = (LOCK.read_bytes(), Path(__file__).read_bytes(), sys.version.encode(), bytes(ROOT))
    return _sha256(b"\0".join(inputs))


def _is_current() -> bool:
    try:
        return STAMP.read_text() == stamp_text() and (VENV / "bin" / "python").exists()
    except FileNotFoundError:
        return False


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


if __name__ == "__main__":
    sys.exit(main())
