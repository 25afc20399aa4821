"""One password for every visitor: Panel's login, with a page of our own and a lasting link."""

from __future__ import annotations

import hmac
import secrets
from typing import Any

from panel.auth import BasicAuthProvider, BasicLoginHandler

from .. import browser
from .patience import Patience, TooMany, visitor

_PAGE = browser.path("login.html")  # Panel's asks a CDN for its icon


class Login(BasicLoginHandler):
    """A wrong password does not lose the address that was asked for; many of them take long."""

    password: str
    patience: Patience
    _left = False

    def prepare(self) -> None:
        asked = self.get_cookie("next_url", f"{self.application.prefix}/")
        self.request.arguments.setdefault("next", [asked.encode()])

    async def post(self) -> None:
        """Panel's answer, when the visitor's turn has come; 429 for one that may not even wait."""
        given = self.get_argument("password", "")
        try:
            await self.patience.admits(
                visitor(self.request), lambda: self._validate("", given), lambda: self._left
            )
        except TooMany:
            self.set_status(429)
            self.set_header("Content-Type", "text/plain; charset=utf-8")
            self.set_header("Retry-After", "60")
            self.finish("Too many wrong passwords from your address. Try again in a minute.\n")
            return
        if not self._left:
            super().post()

    def on_connection_close(self) -> None:
        super().on_connection_close()
        self._left = True

    def _validate(self, username: str, password: str) -> bool:
        return hmac.compare_digest(password.encode(), self.password.encode())


class _Provider(BasicAuthProvider):
    @property
    def login_handler(self) -> type[Login]:
        _ = super().login_handler  # hands the template to Panel's class
        return Login


def guard(password: str) -> dict[str, Any]:
    """Options of `panel.serve` that ask everybody for the password."""
    Login.password, Login.patience = password, Patience()
    return {
        "auth_provider": _Provider(login_template=str(_PAGE), logout_template=str(_PAGE)),
        "cookie_secret": secrets.token_hex(32),
    }
