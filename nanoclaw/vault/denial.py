"""What a proxy's client is answered when its connection or request does not pass.

Pure; used by ``egress`` and what is behind it. Tools show the first line of such an answer and
often nothing else (pip, git, curl), so its reason says in a few words what the text says in full.
"""

from dataclasses import dataclass

from nanoclaw.vault.answers import Refusal
from nanoclaw.vault.decide import Headers

REALM = ("proxy-authenticate", 'Basic realm="nanoclaw"')
_MAX_REASON = 200


@dataclass(frozen=True, slots=True)
class Denial(Refusal):
    """As plain text: programs read the status, people and models read the sentence."""

    more: Headers = ()

    @property
    def headers(self) -> Headers:
        return (("content-type", "text/plain; charset=utf-8"), *self.more)

    @property
    def reason(self) -> bytes:
        """For the first line of the answer: printable ASCII."""
        printable = "".join(sign if " " <= sign <= "~" else " " for sign in self.text)
        return printable[:_MAX_REASON].encode("ascii")

    def body(self) -> bytes:
        return f"{self.text}\n".encode(errors="replace")


def no_proxy_token() -> Denial:
    """With a challenge: curl and git send what they have only after one."""
    text = (
        "this proxy wants the session's token as Proxy-Authorization; it is in HTTPS_PROXY of "
        "everything the agent starts"
    )
    return Denial(407, "authentication_error", text, more=(REALM,))


def wrong_token() -> Denial:
    text = "the token is not the one of this door; agents get it from the host at their start"
    return Denial(403, "authentication_error", text, close=True)


def bad_target(text: str) -> Denial:
    return Denial(400, "invalid_request_error", text, close=True)


def not_permitted(text: str) -> Denial:
    return Denial(403, "permission_error", text)


def blocked(text: str, status: int) -> Denial:
    kind = "permission_error" if status == 403 else "api_error"
    return Denial(status, kind, text)


def too_many(text: str) -> Denial:
    return Denial(503, "overloaded_error", text, close=True, more=(("retry-after", "5"),))


def not_recorded() -> Denial:
    text = "the host cannot record what is let out just now, so nothing is; its log says why"
    return Denial(503, "api_error", text)
