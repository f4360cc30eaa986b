"""What identity mails, in the languages it speaks."""

from dataclasses import dataclass
from html import escape

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
        "It is valid for {minutes} minutes. If you did not register, ignore this mail.\n",
    ),
    ("verify", "ar"): (
        "رمزك في Lectern: {code}",
        "مرحبًا {name}،\n\nأدخل هذا الرمز لتأكيد عنوانك:\n\n    {code}\n\n"
        "الرمز صالح لمدة {minutes} دقائق. إذا لم تسجّل فتجاهل هذه الرسالة.\n",
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
}


def render(purpose: str, language: str, *, name: str, code: str, minutes: int) -> Mail:
    """Subject, text and HTML in the nearest language there is."""
    language = language.partition("-")[0].lower()
    language = language if language in LANGUAGES else "en"
    subject, text = TEXTS[purpose, language]
    values = {"name": name, "code": code, "minutes": minutes}
    body = text.format(**values)
    direction = "rtl" if language == "ar" else "ltr"
    paragraphs = "".join(f"<p>{escape(part.strip())}</p>" for part in body.split("\n\n"))
    html = (
        f'<!doctype html><html lang="{language}" dir="{direction}"><body style="font-family:sans-serif">'
        f"{paragraphs}</body></html>"
    )
    return Mail(subject.format(**values), body, html)
