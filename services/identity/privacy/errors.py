"""What exports and erasures refuse, by name."""

from libs.common.runtime.errors import Conflict, Forbidden


class ErasureBegun(Conflict):
    code = "erasure_begun"
    detail = "The erasure has begun: it cannot be taken back."


class OwnAccount(Forbidden):
    code = "own_account"
    detail = "Erase your own account with your password: DELETE /api/accounts/users/me/."
