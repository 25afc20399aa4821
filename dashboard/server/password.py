"""One password for every visitor: Panel's login, with a page of our own and a lasting link."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from panel.auth import BasicAuthProvider, BasicLoginHandler

from .. import browser

_PAGE = browser.path("login.html")  # Panel's asks a CDN for its icon


class Login(BasicLoginHandler):
    """A wrong password does not lose the address that was asked for."""

    password: str

    def prepare(self) -> None:
        asked = self.get_cookie("next_url", f"{self.application.prefix}/")
        self.request.arguments.setdefault("next", [asked.encode()])

    def _validate(self, username: str, password: str) -> bool:
        return hmac.compare_digest(password.encode(), self.password.encode())


class _Provider(BasicAuthProvider):
    @property
    def login_handler(self) -> type[Login]:
        _ = super().login_handler  # hands the template to Panel's class
        return Login


def guard(password: str) -> dict[str, Any]:
    """Options of `panel.serve` that ask everybody for the password."""
    Login.password = password
    return {
        "auth_provider": _Provider(login_template=str(_PAGE), logout_template=str(_PAGE)),
        "cookie_secret": secrets.token_hex(32),
    }
