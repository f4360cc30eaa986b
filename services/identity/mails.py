"""What identity mails, in the languages it speaks."""

from pathlib import Path

from libs.common.runtime.mail import unlinked
from libs.common.runtime.mail_texts import N_, Mail, Translations, make_mail

TRANSLATIONS = Translations(Path(__file__).with_name("locale"))

# purpose → subject and text
TEXTS = {
    "verify": (
        N_("Your Lectern code: {code}"),
        N_(
            "Hello {name},\n\nenter this code to verify your address:\n\n    {code}\n\n"
            "It is valid for {minutes} minutes. If you did not register, or not under this name,"
            " ignore this mail.\n"
        ),
    ),
    "known_address": (
        N_("You already have a Lectern account"),
        N_(
            "Hello {name},\n\nsomebody tried to register with this address, which already has an account.\n"
            "If that was you, log in, or reset your password. Otherwise there is nothing to do.\n"
        ),
    ),
    "reset": (
        N_("Reset your Lectern password: {code}"),
        N_(
            "Hello {name},\n\nenter this code to choose a new password:\n\n    {code}\n\n"
            "It is valid for {minutes} minutes. If you did not ask for it, ignore this mail.\n"
        ),
    ),
    "password_changed": (
        N_("Your Lectern password was changed"),
        N_(
            "Hello {name},\n\nthe password of your account was changed a moment ago.\n\n"
            "If that was not you, reset your password at once and end the sessions that you do not know.\n"
        ),
    ),
    "mfa_enabled": (
        N_("Two-step login is on for your Lectern account"),
        N_(
            "Hello {name},\n\n"
            "from now on a login asks for a code of your authenticator besides your password.\n"
            "Keep the recovery codes in a safe place: they are the way in when the authenticator is lost.\n\n"
            "If that was not you, reset your password at once and write to support.\n"
        ),
    ),
    "mfa_disabled": (
        N_("Two-step login is off for your Lectern account"),
        N_(
            "Hello {name},\n\nfrom now on a login asks for your password alone.\n\n"
            "If that was not you, reset your password at once and turn two-step login on again.\n"
        ),
    ),
    "recovery_codes_renewed": (
        N_("Your Lectern recovery codes were renewed"),
        N_(
            "Hello {name},\n\nnew recovery codes were made for your account; the older ones are void.\n\n"
            "If that was not you, reset your password at once and renew the codes again.\n"
        ),
    ),
    "farewell": (
        N_("Your Lectern account is being deleted"),
        N_(
            "Hello {name},\n\nyour account and your personal data are being deleted from Lectern now. "
            "Certificates stay valid by their number, without your name."
            " What you wrote in forums stays without your name.\n\n"
            "This is the last mail that we send you. All the best on your way.\n"
        ),
    ),
}


def render(purpose: str, locale: str, *, name: str, code: str = "", minutes: int = 0) -> Mail:
    """A mail in the nearest language there is."""
    language = TRANSLATIONS.nearest(locale)
    values = {"name": unlinked(name), "code": code, "minutes": minutes}
    subject, text = (TRANSLATIONS.translate(part, language).format(**values) for part in TEXTS[purpose])
    return make_mail(language, subject, text, code=code or None)
