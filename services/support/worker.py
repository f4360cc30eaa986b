"""What runs beside the routes."""

from libs.common.bus.received import Subscription
from libs.common.privacy.parts import PENDING_PARTS
from services.support.consumers import HANDLERS

SUBSCRIPTION = Subscription("support", HANDLERS)
WAITING = {"support.privacy": PENDING_PARTS}
