"""The farewell: the last mail that goes to an address."""

from html import escape

from libs.common.runtime.mail import unlinked
from services.identity.mails import LANGUAGES, Mail

FAREWELL = {
    "en": (
        "Your Lectern account is being deleted",
        "Hello {name},\n\nyour account and your personal data are being deleted from Lectern now. "
        "Certificates stay valid by their number, without your name. What you wrote in forums stays without "
        "your name.\n\n"
        "This is the last mail that we send you. All the best on your way.\n",
    ),
    "ar": (
        "جارٍ حذف حسابك في Lectern",
        "مرحبًا {name}،\n\nيجري الآن حذف حسابك وبياناتك الشخصية من Lectern. "
        "تبقى الشهادات صالحة برقمها دون اسمك، ويبقى ما كتبته في المنتديات دون اسمك.\n\n"
        "هذه آخر رسالة نرسلها إليك. نتمنى لك كل التوفيق.\n",
    ),
}


def farewell(language: str, name: str) -> Mail:
    """Subject, text and HTML in the nearest language there is."""
    language = language.partition("-")[0].lower()
    language = language if language in LANGUAGES else "en"
    subject, text = FAREWELL[language]
    body = text.format(name=unlinked(name))
    direction = "rtl" if language == "ar" else "ltr"
    paragraphs = "".join(f"<p>{escape(part.strip())}</p>" for part in body.split("\n\n"))
    html = (
        f'<!doctype html><html lang="{language}" dir="{direction}"><body style="font-family:sans-serif">'
        f"{paragraphs}</body></html>"
    )
    return Mail(subject, body, html)
