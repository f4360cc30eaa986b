"""What runs beside the routes."""

from libs.common.bus.received import Subscription
from libs.common.privacy.parts import PENDING_PARTS
from services.forum.consumers import HANDLERS
from services.forum.discussions.service import publish_state

SUBSCRIPTION = Subscription("forum", HANDLERS)
RESTATE = publish_state
WAITING = {"forum.privacy": PENDING_PARTS}
