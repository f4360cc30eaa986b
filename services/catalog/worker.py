"""What catalog subscribes to, and the states that it tells."""

from libs.common.bus.received import Subscription
from libs.common.privacy.parts import PENDING_PARTS
from services.catalog.consumers import HANDLERS
from services.catalog.versions import publish_state

SUBSCRIPTION = Subscription("catalog", HANDLERS)
RESTATE = publish_state
WAITING = {"catalog.privacy": PENDING_PARTS}
