"""What learning holds of a person, and what becomes of it.

Grades, attempts and progress stay under the bare id, so that statistics hold; certificates stay valid by
their number, without name and PDF. Notes, resume positions, study days, written answers, submitted texts and
files and feedback go. Seats of courses underway are freed.
"""

from libs.common.events.learning import ExportPartFailed, ExportPartPacked, PersonErased
from libs.common.privacy.parts import Privacy
from services.learning.models import PrivacyPart
from services.learning.privacy.erasure import erase
from services.learning.privacy.exports import gather

PRIVACY = Privacy("learning", PrivacyPart, ExportPartPacked, ExportPartFailed, PersonErased, gather, erase)
