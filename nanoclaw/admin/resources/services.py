"""``ncl services``: which host gets which secret of the owner, put in by the vault.

A service names a secret and never holds one. What a flag can have is decided by
``policy.services``; here it is put together, and the secret must be there already.
"""

import importlib.util
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from typing import TypeVar

from nanoclaw.admin.arguments import Arguments
from nanoclaw.admin.context import CommandContext
from nanoclaw.admin.problems import CommandError, InvalidArgsError, NotFoundError
from nanoclaw.admin.registry import Access, ArgumentSpec, ColumnSpec, Kind, Operation, ResourceSpec
from nanoclaw.admin.resources import checks
from nanoclaw.admin.resources.generic import target_argument
from nanoclaw.admin.shown import moment
from nanoclaw.bell import VAULT
from nanoclaw.db import services
from nanoclaw.db.services import HTTPS, Service, ServiceKind
from nanoclaw.policy import services as rules
from nanoclaw.policy.service_presets import BEARER, PRESETS, Preset
from nanoclaw.policy.services import AUTHORIZATION, PLACE, ServiceError
from nanoclaw.secret_store.entries import SecretError, is_name
from nanoclaw.secret_store.store import open_store

_Given = TypeVar("_Given")
_Made = TypeVar("_Made")

ALL = "all"
NO_LIBRARY = (
    "it counts once the library for certificates is there: run `nanoclaw extras add intercept`"
)

_FIELDS = (
    ArgumentSpec("hosts", "names, addresses or *.name, with commas between", nullable=True),
    ArgumentSpec("secret", "name of the secret, as in `nanoclaw secrets list`"),
    ArgumentSpec("header", f"where the secret goes (default: {AUTHORIZATION})"),
    ArgumentSpec("template", f"the header's value (default: {BEARER})"),
    ArgumentSpec("user", "basic authentication with this user name, instead of a template"),
    ArgumentSpec("ports", f"with commas between (default: {HTTPS})"),
    ArgumentSpec("methods", "only these, with commas between; empty: any", nullable=True),
    ArgumentSpec("paths", "only below these, with commas between; empty: any", nullable=True),
    ArgumentSpec("groups", "ids of agent groups with commas between, or all (default: all)"),
)
_PRESET = ArgumentSpec(
    "preset", "hosts and header of a service that is known", choices=tuple(PRESETS)
)


@dataclass(frozen=True, slots=True)
class _Writing:
    """How the secret stands on a request."""

    kind: ServiceKind
    header: str
    template: str


def _list(context: CommandContext, arguments: Arguments) -> object:
    return [_row(service) for service in services.list_all(context.conn)]


def _get(context: CommandContext, arguments: Arguments) -> object:
    return _row(_service(context, arguments))


def _add(context: CommandContext, arguments: Arguments) -> object:
    name = _checked(rules.checked_name, arguments.text("id"))
    if services.get(context.conn, name) is not None:
        raise CommandError(
            f"already exists: the service {name}; change it by `ncl services update {name}`"
        )
    preset = PRESETS.get(arguments.text("preset"))
    secret = arguments.text("secret", name)
    service = Service(
        name=name,
        kind=ServiceKind.HEADER,
        hosts=preset.hosts if preset is not None else (),
        header=AUTHORIZATION,
        template=BEARER,
        secret=secret,
        created_at=context.now,
        updated_at=context.now,
        updated_by=context.actor,
    )
    if preset is not None:
        service = _written(service, _of_preset(preset))
    return _store(context, _changed(context, service, arguments))


def _update(context: CommandContext, arguments: Arguments) -> object:
    old = _service(context, arguments)
    if not any(spec.name in arguments for spec in _FIELDS):
        flags = ", ".join(spec.flag for spec in _FIELDS)
        raise InvalidArgsError(f"nothing to update; give one of: {flags}")
    return _store(context, _changed(context, old, arguments))


def _remove(context: CommandContext, arguments: Arguments) -> object:
    service = _service(context, arguments)
    services.remove(context.conn, service.name)
    return {"removed": service.name}


def _presets(context: CommandContext, arguments: Arguments) -> object:
    return [
        {"preset": name, "hosts": ",".join(preset.hosts), **asdict(_of_preset(preset))}
        for name, preset in sorted(PRESETS.items())
    ]


def _changed(context: CommandContext, service: Service, arguments: Arguments) -> Service:
    """With what was given; every part is checked."""
    parts: dict[str, Callable[[list[str]], object]] = {
        "hosts": rules.checked_hosts,
        "ports": rules.checked_ports,
        "methods": rules.checked_methods,
        "paths": rules.checked_paths,
    }
    given = {
        name: _checked(check, _items(arguments, name))
        for name, check in parts.items()
        if name in arguments
    }
    if "groups" in arguments:
        given["groups"] = _groups(context, arguments)
    if "secret" in arguments:
        given["secret"] = arguments.text("secret")
    # Each check returns the type of its field.
    service = replace(service, **given)  # type: ignore[arg-type]
    _checked(rules.checked_hosts, list(service.hosts))
    if not service.ports:
        raise InvalidArgsError(f"--ports needs a port, for example {HTTPS}")
    service = _written(service, _writing(service, arguments))
    return replace(service, updated_at=context.now, updated_by=context.actor)


def _writing(service: Service, arguments: Arguments) -> _Writing:
    user = arguments.optional("user")
    if user is not None:
        if "template" in arguments or "header" in arguments:
            raise InvalidArgsError(
                "--user is basic authentication, which has its own header and template; leave out "
                "--header and --template"
            )
        return _Writing(ServiceKind.BASIC, AUTHORIZATION, _checked(rules.checked_user, user))
    if "header" not in arguments and "template" not in arguments:
        return _Writing(service.kind, service.header, service.template)
    was_basic = service.kind is ServiceKind.BASIC
    header = arguments.text("header", AUTHORIZATION if was_basic else service.header)
    # A key in a header of its own is usually the bare key.
    usual = BEARER if header.lower() == AUTHORIZATION else PLACE
    moved = was_basic or header.lower() != service.header
    template = arguments.text("template", usual if moved else service.template)
    return _Writing(
        ServiceKind.HEADER,
        _checked(rules.checked_header, header),
        _checked(rules.checked_template, template),
    )


def _of_preset(preset: Preset) -> _Writing:
    if preset.user is not None:
        return _Writing(ServiceKind.BASIC, AUTHORIZATION, rules.checked_user(preset.user))
    return _Writing(ServiceKind.HEADER, preset.header, preset.template)


def _written(service: Service, writing: _Writing) -> Service:
    return replace(service, kind=writing.kind, header=writing.header, template=writing.template)


def _groups(context: CommandContext, arguments: Arguments) -> tuple[str, ...] | None:
    items = _items(arguments, "groups")
    if items == [ALL]:
        return None
    return tuple(sorted({checks.group(context.conn, item).id for item in items}))


def _store(context: CommandContext, service: Service) -> object:
    _check_secret(context, service)
    services.put(context.conn, service)
    context.ring(VAULT)  # it makes the certificates that containers get at their start
    note = {} if _has_library(context) else {"next": NO_LIBRARY}
    return {**_row(service), **note}


def _check_secret(context: CommandContext, service: Service) -> None:
    """A service without its secret would only be noticed by the agent."""
    if not is_name(service.secret):  # it may be the secret itself: it is not repeated
        raise InvalidArgsError("--secret is the name of a secret, as `nanoclaw secrets list` shows")
    try:
        there = open_store(context.config).has(service.secret)
    except SecretError as error:
        raise CommandError(str(error)) from error
    if not there:
        raise InvalidArgsError(
            f"there is no secret {service.secret}; set it first with "
            f"`nanoclaw secrets set {service.secret}`"
        )


def _has_library(context: CommandContext) -> bool:
    """Looked for, not imported: this process does without it."""
    if context.paths.extras("intercept").is_dir():
        return True
    return importlib.util.find_spec("cryptography") is not None


def _service(context: CommandContext, arguments: Arguments) -> Service:
    name = arguments.text("id")
    found = services.get(context.conn, name)
    if found is None:
        raise NotFoundError(f"service not found: {name[:100]}; see `ncl services list`")
    return found


def _items(arguments: Arguments, name: str) -> list[str]:
    return [item.strip() for item in arguments.text(name).split(",") if item.strip()]


def _checked(check: Callable[[_Given], _Made], given: _Given) -> _Made:
    try:
        return check(given)
    except ServiceError as error:
        raise InvalidArgsError(str(error)) from error


def _row(service: Service) -> dict[str, object]:
    groups = ALL if service.groups is None else ",".join(service.groups)
    return {
        "id": service.name,
        "hosts": ",".join(service.hosts),
        "secret": service.secret,
        "kind": service.kind.value,
        "header": service.header,
        "template": service.template,
        "ports": ",".join(map(str, service.ports)),
        "methods": ",".join(service.methods),
        "paths": ",".join(service.paths),
        "groups": groups,
        "updated_at": moment(service.updated_at),
        "updated_by": service.updated_by,
    }


_TARGET = target_argument("service", help_text="its name")
_EXAMPLES = (
    "ncl services add github --preset github --secret github-token",
    "ncl services add weather --hosts api.weather.example --header X-Api-Key --secret weather-key",
)

RESOURCE = ResourceSpec(
    name="service",
    plural="services",
    id_column="id",
    description="hosts that get one of the owner's secrets, put in by the vault",
    columns=(
        ColumnSpec("id", "its name", generated=True),
        ColumnSpec("hosts", "who gets the secret", generated=True),
        ColumnSpec("secret", "its name", generated=True),
        ColumnSpec("kind", "header, or basic authentication", generated=True),
        ColumnSpec("header", "where it goes", generated=True),
        ColumnSpec("template", "what stands around it", generated=True),
        ColumnSpec("ports", "of the hosts", generated=True),
        ColumnSpec("methods", "the only ones; empty: any", generated=True),
        ColumnSpec("paths", "only below these; empty: any", generated=True),
        ColumnSpec("groups", "which agents", generated=True),
        ColumnSpec("updated_at", "last change", Kind.TEXT, generated=True),
        ColumnSpec("updated_by", "by whom", generated=True),
    ),
    operations=(
        Operation("list", Access.OPEN, "all of them", _list),
        Operation("get", Access.OPEN, "show one", _get, (_TARGET,)),
        Operation("add", Access.APPROVAL, "let a host get a secret", _add,
                  (_TARGET, _PRESET, *_FIELDS), mutating=True, examples=_EXAMPLES),
        Operation("update", Access.APPROVAL, "change one", _update,
                  (_TARGET, *_FIELDS), mutating=True),
        Operation("remove", Access.APPROVAL, "the host gets the secret no more, at once", _remove,
                  (_TARGET,), mutating=True),
        Operation("presets", Access.OPEN, "services whose hosts and headers are known", _presets),
    ),
)  # fmt: skip
