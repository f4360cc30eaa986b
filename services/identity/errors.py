"""What identity refuses, by name."""

from libs.common.runtime.errors import Conflict, Forbidden, NotAuthenticated, TooManyRequests, Unprocessable


class BadCredentials(NotAuthenticated):
    code = "bad_credentials"
    detail = "The address or the password is wrong."


class OtpRequired(NotAuthenticated):
    code = "otp_required"
    detail = "This account asks for a second factor: a code of its authenticator, or a recovery code."


class InvalidOtp(NotAuthenticated):
    code = "invalid_otp"
    detail = "The code of the authenticator is wrong, or was used already."


class EmailNotVerified(Forbidden):
    code = "email_not_verified"
    detail = "The address is not verified yet: enter the code that was mailed to it."


class AddressNotVerified(Conflict):
    code = "address_not_verified"
    detail = "Nobody has proved this address yet: a role can be given once it is verified."


class AccountDisabled(Forbidden):
    code = "account_disabled"
    detail = "This account is disabled; a manager can enable it again."


class InvalidRefreshToken(NotAuthenticated):
    code = "invalid_refresh_token"
    detail = "The refresh token is not valid, or no longer: log in again."


class InvalidCode(Unprocessable):
    code = "invalid_code"
    detail = "The code is wrong, used or expired: ask for a new one."


class TooManyAttempts(TooManyRequests):
    code = "too_many_attempts"
    detail = "There were too many failed tries. It can be tried again after a while."

    def __init__(self, seconds: int = 1) -> None:
        super().__init__(headers={"Retry-After": str(seconds)})


class WrongPassword(Unprocessable):
    code = "wrong_password"
    detail = "The password is not yours."

    def __init__(self, field: str = "password") -> None:
        message = "is not your password"
        super().__init__(f"{field}: {message}.", errors=[{"field": field, "message": message}])


class WrongOtp(Unprocessable):
    code = "wrong_otp"
    detail = "otp: is wrong, or was used already."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "otp", "message": "is wrong, or was used already"}])


class MfaAlreadyEnabled(Conflict):
    code = "mfa_already_enabled"
    detail = "A second factor is asked for already: disable it before you enrol another authenticator."


class MfaNotEnrolled(Conflict):
    code = "mfa_not_enrolled"
    detail = "There is no authenticator to confirm: enrol one first."


class MfaNotEnabled(Conflict):
    code = "mfa_not_enabled"
    detail = "No second factor is asked for: there is nothing to change."


class PasswordRefused(Unprocessable):
    code = "password_refused"
    detail = "password: is among the most common ones: choose another."


class RoleNotAllowed(Forbidden):
    code = "role_not_allowed"
    detail = "You can neither change nor give a role above your own."


class FileMissing(Unprocessable):
    code = "file_missing"
    detail = "No picture has arrived."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "avatar", "message": "send one file in the field `avatar`"}])


class FileTypeRefused(Unprocessable):
    code = "file_type_refused"
    detail = "avatar: takes a JPEG, PNG or WebP picture."

    def __init__(self) -> None:
        super().__init__(errors=[{"field": "avatar", "message": "takes a JPEG, PNG or WebP picture"}])


class PictureRefused(Unprocessable):
    code = "picture_refused"
    detail = "avatar: cannot be read as a picture."

    def __init__(self, message: str) -> None:
        super().__init__(f"avatar: {message}.", errors=[{"field": "avatar", "message": message}])
