"""What runs beside the routes."""

from libs.common.bus.received import Subscription
from libs.common.privacy.parts import PENDING_PARTS
from services.notify.consumers import HANDLERS

SUBSCRIPTION = Subscription("notify", HANDLERS)
WAITING = {
    "notify.send_mail": "SELECT min(created_at) FROM deliveries WHERE status IN ('pending', 'sending')",
    "notify.privacy": PENDING_PARTS,
}
