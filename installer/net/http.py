# SPDX-License-Identifier: GPL-3.0-or-later
"""How this machine reaches the network: proxy, certificates, the model hub or its mirror, and the hub's token."""

from __future__ import annotations

import os
import ssl
import sys
import urllib.request
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from urllib.parse import urlsplit

from ..shared.errors import SetupError

#: Where most models are published. A mirror takes its place in every address.
HUB = "https://huggingface.co"


@dataclass(frozen=True)
class Network:
    """What is chosen for it; "" takes what the environment says.

    proxy : address of the proxy for http and https.  ca_file : certificates to trust, in PEM, besides none other.
    hub : address of a mirror of the model hub.  token : the hub's access token, for gated models; never shown.
    """

    proxy: str = ""
    ca_file: str = ""
    hub: str = ""
    token: str = field(default="", repr=False)

    @property
    def hub_address(self) -> str:
        """The hub's address without a slash at its end: the chosen one, else HF_ENDPOINT, else the public one."""
        address = (self.hub or os.environ.get("HF_ENDPOINT") or HUB).strip().rstrip("/")
        address = address if "://" in address else f"https://{address}"
        try:
            named = host(address)
        except ValueError:
            named = ""
        if not named or " " in address or not urlsplit(address).hostname:
            message = f"{address} is not the address of a mirror."
            raise SetupError(message, "Write it as https://mirror.example.org (in the preferences, or in HF_ENDPOINT).")
        return address

    @property
    def hub_token(self) -> str:
        """The chosen token, else HF_TOKEN."""
        return (self.token or os.environ.get("HF_TOKEN", "")).strip()

    def address(self, url: str) -> str:
        """Where a published address is asked for: the mirror takes the public hub's place."""
        return self.hub_address + url[len(HUB) :] if url.startswith(f"{HUB}/") else url

    def headers(self, address: str) -> dict[str, str]:
        """The token, for the hub and nobody else."""
        token = self.hub_token
        if not token or host(address) != host(self.hub_address):
            return {}
        if not (token.isascii() and token.isprintable()) or " " in token:
            raise SetupError(
                "The access token contains invalid characters.",
                "Copy it again from your account page on the hub, without surrounding text.",
            )
        return {"Authorization": f"Bearer {token}"}


_chosen = Network()


def set_network(network: Network | None) -> None:
    """Let preferences choose; None goes back to the environment."""
    global _chosen
    _chosen = network or Network()


def chosen_network() -> Network:
    return _chosen


def host(address: str) -> str:
    """Scheme, name and port, by which it is decided who may see the token."""
    parts = urlsplit(address)
    port = parts.port or {"https": 443, "http": 80}.get(parts.scheme, 0)
    return f"{parts.scheme}://{parts.hostname}:{port}"


def opener(network: Network) -> urllib.request.OpenerDirector:
    """Opens http and https only; follows no redirect and raises for no status: both are for the caller."""
    proxies = {"http": network.proxy, "https": network.proxy} if network.proxy else None
    director = urllib.request.OpenerDirector()
    for handler in (
        urllib.request.ProxyHandler(proxies),
        urllib.request.HTTPHandler(),
        urllib.request.HTTPSHandler(context=_context(network)),
        urllib.request.UnknownHandler(),
    ):
        director.add_handler(handler)
    return director


def _context(network: Network) -> ssl.SSLContext:
    """Trusts the chosen certificates, else those that the environment names, else the system's, else Python's own."""
    variables = ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "PIP_CERT")
    for name in (network.ca_file, *map(os.environ.get, variables)):
        if not name or (name != network.ca_file and not Path(name).is_file()):
            continue
        try:
            return ssl.create_default_context(cafile=name)
        except OSError as error:  # ssl.SSLError is one too
            message = f"Cannot read the certificates in {name} ({error})."
            raise SetupError(message, "Choose a file of certificates in PEM format.") from error
    bundled = None if sys.platform == "win32" or _system_certificates() else _bundled_certificates()
    return ssl.create_default_context(cafile=bundled)


def _system_certificates() -> bool:
    paths = ssl.get_default_verify_paths()
    return bool(paths.cafile or (paths.capath and any(Path(paths.capath).iterdir())))


def _bundled_certificates() -> str | None:
    """The file that Blender's Python brings for its own downloads."""
    try:
        return import_module("certifi").where()
    except ImportError:
        return None
