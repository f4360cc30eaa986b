"""What identity mails, in the languages it speaks."""

from dataclasses import dataclass
from html import escape

from libs.common.runtime.mail import unlinked

LANGUAGES = ("en", "ar")


@dataclass(frozen=True)
class Mail:
    subject: str
    text: str
    html: str


TEXTS = {
    ("verify", "en"): (
        "Your Lectern code: {code}",
        "Hello {name},\n\nenter this code to verify your address:\n\n    {code}\n\n"
        "It is valid for {minutes} minutes. If you did not register, or not under this name,"
        " ignore this mail.\n",
    ),
    ("verify", "ar"): (
        "رمزك في Lectern: {code}",
        "مرحبًا {name}،\n\nأدخل هذا الرمز لتأكيد عنوانك:\n\n    {code}\n\n"
        "الرمز صالح لمدة {minutes} دقائق. إذا لم تسجّل، أو لم تسجّل بهذا الاسم، فتجاهل هذه الرسالة.\n",
    ),
    ("known_address", "en"): (
        "You already have a Lectern account",
        "Hello {name},\n\nsomebody tried to register with this address, which already has an account.\n"
        "If that was you, log in, or reset your password. Otherwise there is nothing to do.\n",
    ),
    ("known_address", "ar"): (
        "لديك حساب في Lectern بالفعل",
        "مرحبًا {name}،\n\nحاول شخص ما التسجيل بهذا العنوان، ولديه حساب بالفعل.\n"
        "إذا كنت أنت فسجّل الدخول أو أعد تعيين كلمة المرور. وإلا فلا حاجة إلى أي إجراء.\n",
    ),
    ("reset", "en"): (
        "Reset your Lectern password: {code}",
        "Hello {name},\n\nenter this code to choose a new password:\n\n    {code}\n\n"
        "It is valid for {minutes} minutes. If you did not ask for it, ignore this mail.\n",
    ),
    ("reset", "ar"): (
        "إعادة تعيين كلمة المرور في Lectern: {code}",
        "مرحبًا {name}،\n\nأدخل هذا الرمز لاختيار كلمة مرور جديدة:\n\n    {code}\n\n"
        "الرمز صالح لمدة {minutes} دقائق. إذا لم تطلبه فتجاهل هذه الرسالة.\n",
    ),
    ("password_changed", "en"): (
        "Your Lectern password was changed",
        "Hello {name},\n\nthe password of your account was changed a moment ago.\n\n"
        "If that was not you, reset your password at once and end the sessions that you do not know.\n",
    ),
    ("password_changed", "ar"): (
        "تم تغيير كلمة مرورك في Lectern",
        "مرحبًا {name}،\n\nتم تغيير كلمة مرور حسابك قبل لحظات.\n\n"
        "إذا لم تكن أنت من فعل ذلك فأعد تعيين كلمة المرور فورًا وأنهِ الجلسات التي لا تعرفها.\n",
    ),
    ("mfa_enabled", "en"): (
        "Two-step login is on for your Lectern account",
        "Hello {name},\n\nfrom now on a login asks for a code of your authenticator besides your password.\n"
        "Keep the recovery codes in a safe place: they are the way in when the authenticator is lost.\n\n"
        "If that was not you, reset your password at once and write to support.\n",
    ),
    ("mfa_enabled", "ar"): (
        "تم تفعيل تسجيل الدخول بخطوتين لحسابك في Lectern",
        "مرحبًا {name}،\n\nمن الآن فصاعدًا يتطلب تسجيل الدخول رمزًا من تطبيق المصادقة إلى جانب كلمة المرور.\n"
        "احفظ رموز الاسترداد في مكان آمن: فهي وسيلة الدخول إذا فقدت تطبيق المصادقة.\n\n"
        "إذا لم تكن أنت من فعل ذلك فأعد تعيين كلمة المرور فورًا وراسل الدعم.\n",
    ),
    ("mfa_disabled", "en"): (
        "Two-step login is off for your Lectern account",
        "Hello {name},\n\nfrom now on a login asks for your password alone.\n\n"
        "If that was not you, reset your password at once and turn two-step login on again.\n",
    ),
    ("mfa_disabled", "ar"): (
        "تم إيقاف تسجيل الدخول بخطوتين لحسابك في Lectern",
        "مرحبًا {name}،\n\nمن الآن فصاعدًا يتطلب تسجيل الدخول كلمة المرور وحدها.\n\n"
        "إذا لم تكن أنت من فعل ذلك فأعد تعيين كلمة المرور فورًا وفعّل تسجيل الدخول بخطوتين من جديد.\n",
    ),
    ("recovery_codes_renewed", "en"): (
        "Your Lectern recovery codes were renewed",
        "Hello {name},\n\nnew recovery codes were made for your account; the older ones are void.\n\n"
        "If that was not you, reset your password at once and renew the codes again.\n",
    ),
    ("recovery_codes_renewed", "ar"): (
        "تم تجديد رموز الاسترداد الخاصة بك في Lectern",
        "مرحبًا {name}،\n\nأُنشئت رموز استرداد جديدة لحسابك، ولم تعد الرموز القديمة صالحة.\n\n"
        "إذا لم تكن أنت من فعل ذلك فأعد تعيين كلمة المرور فورًا وجدّد الرموز مرة أخرى.\n",
    ),
}


def render(purpose: str, language: str, *, name: str, code: str, minutes: int) -> Mail:
    """Subject, text and HTML in the nearest language there is."""
    language = language.partition("-")[0].lower()
    language = language if language in LANGUAGES else "en"
    subject, text = TEXTS[purpose, language]
    values = {"name": unlinked(name), "code": code, "minutes": minutes}
    subject, body = subject.format(**values), text.format(**values)
    direction = "rtl" if language == "ar" else "ltr"
    parts = [part.strip() for part in body.split("\n\n")]
    html = (
        f'<!doctype html>\n<html lang="{language}" dir="{direction}"><head><meta charset="utf-8">'
        f"<title>{escape(subject)}</title></head>\n"
        '<body style="font:16px/1.5 sans-serif;max-width:36em;margin:1.5em auto;padding:0 1em">\n'
        + "\n".join(_code(part) if part == code else _paragraph(part) for part in parts)
        + "\n</body></html>\n"
    )
    return Mail(subject, body, html)


def _paragraph(text: str) -> str:
    return f"<p>{escape(text).replace(chr(10), '<br>')}</p>"


def _code(code: str) -> str:
    """Digits run from left to right in every language."""
    return f'<p dir="ltr" style="font:bold 28px monospace;letter-spacing:.2em;text-align:center">{code}</p>'
