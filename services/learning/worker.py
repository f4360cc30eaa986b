"""What learning consumes, and the states that it tells; relay and consumer run it through
`libs.common.service.serve`."""

from libs.common.bus.received import Subscription
from libs.common.privacy.parts import PENDING_PARTS
from services.learning.consumers import HANDLERS
from services.learning.enrollments.state import publish_state

SUBSCRIPTION = Subscription("learning", HANDLERS)
RESTATE = publish_state
WAITING = {
    "learning.make_certificate": (
        "SELECT min(requested_at) FROM certificates WHERE issued_at IS NULL AND status = 'valid'"
    ),
    "learning.privacy": PENDING_PARTS,
}
