"""Addresses of servers as they may be shown: without their passwords."""

import re
from contextlib import suppress
from urllib.parse import parse_qsl, unquote, urlsplit

HIDDEN = "***"
SECRET_OPTIONS = {"password", "passwd", "pwd", "token", "sslpassword"}


def redact(url: str) -> str:
    """Return an address with every password in it hidden; what is no address is returned as it is."""
    hidden = re.sub(r"(?s)(?<=://)([^:@/]*):.*@", rf"\1:{HIDDEN}@", url)  # to the last @, for a password may hold one
    options = "|".join(SECRET_OPTIONS)
    return re.sub(rf"(?i)\b({options})=[^&#\s]*", rf"\1={HIDDEN}", hidden)


def explain(what: str, error: BaseException, url: str) -> str:
    """Say in one line that a server fails, and why by its own words, in which no password of its address is left."""
    reason = " ".join(str(error).split()) or type(error).__name__
    for secret in sorted(_secrets(url), key=len, reverse=True):
        reason = reason.replace(secret, HIDDEN)
    return f"{redact(url)}: {what} does not answer ({redact(reason)})"


def _secrets(url: str) -> set[str]:
    """Return the passwords in an address, as written and as meant, and the parts a reader may have cut them into."""
    found = re.search(r"(?s)://[^:@/]*:(.*)@", url)
    secrets = {found[1], *re.split(r"[@/?#:]", found[1])} if found else set()
    with suppress(ValueError):  # brackets that are no IPv6 address
        secrets |= {value for key, value in parse_qsl(urlsplit(url).query) if key.lower() in SECRET_OPTIONS}
    return {each for secret in secrets for each in (secret, unquote(secret)) if each}
