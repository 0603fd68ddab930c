"""The address under which others reach the page, and its QR code."""

import ipaddress
import os
import socket
from typing import Any
from urllib.parse import urlsplit

import segno

from demo.wire import CodeAnswer, served
from gradcam_core.types import UserError

LONGEST = 1500  # letters of a link; a QR code holds 2331 of them
NO_LINK = "There is no link of which a code could be made."
ONLY_HERE = (
    "Only this machine reaches this page, so there is no code for others; whoever starts it with "
    "GRADIO_SERVER_NAME=0.0.0.0 shares it with the room."
)
NOT_BY_THAT = (
    "Others cannot type the address by which you opened this page, so there is no code for them; "
    "open it by the one that they type."
)
CONTAINERS = (  # what there is where a machine lies within another, and others reach only that
    "/.dockerenv", "/run/.containerenv", "/run/systemd/container", "/run/WSL",
    "/var/run/secrets/kubernetes.io",
)  # fmt: skip


@served("code")
def code(request: Any) -> CodeAnswer:
    """request: {"link": a link to the page, as the browser has it}."""
    link = request.get("link") if isinstance(request, dict) else None
    if not isinstance(link, str) or len(link) > LONGEST or not link.startswith(("http:", "https:")):
        raise UserError(NO_LINK)
    link = for_others(link)
    made = segno.make_qr(link, error="m")
    return {"link": link, "picture": made.svg_data_uri(scale=4, light="white")}


def for_others(link: str) -> str:
    """The same link as it works on other machines. Raises UserError where none does."""
    try:
        parts = urlsplit(link)
        host, port = parts.hostname or "", parts.port
    except ValueError as error:
        raise UserError(NO_LINK) from error
    if not is_home(host):
        return link
    name = os.environ.get("GRADIO_SERVER_NAME", "")
    if name in ("0.0.0.0", "::"):
        if any(map(os.path.exists, CONTAINERS)):
            raise UserError(NOT_BY_THAT)
        name = own_address()
    if not name or is_home(name):
        raise UserError(ONLY_HERE)
    shown = f"[{name}]" if ":" in name else name
    return parts._replace(netloc=f"{shown}:{port}" if port else shown).geturl()


def is_home(host: str) -> bool:
    """Whether a machine means itself by this name."""
    try:
        address = ipaddress.ip_address(host)
    except ValueError:
        return f".{host.rstrip('.')}".endswith(".localhost")
    return address.is_loopback or address.is_unspecified


def own_address() -> str:
    """Of this machine, as others have it; empty where there is no network. Nothing is sent."""
    try:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as line:
            line.connect(("192.0.2.1", 9))  # nobody's, RFC 5737: the way out is what is asked for
            return str(line.getsockname()[0])
    except OSError:
        return ""
