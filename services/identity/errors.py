"""What identity refuses, by name."""

from libs.common.errors import Forbidden, NotAuthenticated, Unprocessable


class BadCredentials(NotAuthenticated):
    code = "bad_credentials"
    detail = "The address or the password is wrong."


class EmailNotVerified(Forbidden):
    code = "email_not_verified"
    detail = "The address is not verified yet: enter the code that was mailed to it."


class AccountDisabled(Forbidden):
    code = "account_disabled"
    detail = "This account is disabled; a manager can enable it again."


class InvalidRefreshToken(NotAuthenticated):
    code = "invalid_refresh_token"
    detail = "The refresh token is not valid, or no longer: log in again."


class InvalidCode(Unprocessable):
    code = "invalid_code"
    detail = "The code is wrong, used or expired: ask for a new one."


class WrongPassword(Unprocessable):
    code = "wrong_password"
    detail = "current_password: is not your password."


class PasswordRefused(Unprocessable):
    code = "password_refused"


class RoleNotAllowed(Forbidden):
    code = "role_not_allowed"
    detail = "You can neither change nor give a role above your own."
