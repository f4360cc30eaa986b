"""Addresses that mail can be sent to, each in one spelling."""

from email_validator import EmailNotValidError, validate_email


def address(text: str) -> str:
    """The address in the spelling that is stored and mailed to: lower case, the domain in ASCII.

    Raises ValueError for what not every mail server takes: letters beyond ASCII before the @ (they need
    SMTPUTF8 on the whole way), quoted names, domains without a dot, more than 254 characters.
    """
    try:
        found = validate_email(
            text,
            check_deliverability=False,
            allow_smtputf8=False,
            allow_quoted_local=False,
            allow_domain_literal=False,
            allow_display_name=False,
            strict=True,
        )
    except EmailNotValidError as error:
        if "@" in text and not text.rpartition("@")[0].isascii():
            raise ValueError(
                "must have ASCII characters only before the @: no mail gets to others"
            ) from error
        reason = str(error).rstrip(".")
        raise ValueError(f"must be an address that mail gets to: {reason[:1].lower()}{reason[1:]}") from error
    assert found.ascii_email is not None
    return found.ascii_email.lower()


def address_or_text(text: str) -> str:
    """The same for looking somebody up: what is no address is nobody's, and stays as it is."""
    try:
        return address(text.strip())
    except ValueError:
        return text.lower()
