"""What runs beside the routes; relay and consumer run it through `libs.common.service.serve`."""

from libs.common.bus.received import Subscription
from services.identity.consumers import HANDLERS
from services.identity.queries import publish_state

SUBSCRIPTION = Subscription("identity", HANDLERS)
RESTATE = publish_state
WAITING = {
    "identity.send_code": "SELECT min(created_at) FROM code_mails WHERE status IN ('pending', 'sending')",
    "identity.privacy": "SELECT min(created_at) FROM privacy_jobs WHERE status = 'open'",
}
