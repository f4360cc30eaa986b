"""What runs beside the routes: every topic goes to the event log, what the read models need to a handler."""

from libs.common.bus.received import Subscription
from libs.common.events.topics import TOPICS
from libs.common.privacy.parts import PENDING_PARTS
from services.analytics.consumers import HANDLERS
from services.analytics.event_log import append_to_log

SUBSCRIPTION = Subscription(
    "analytics", HANDLERS, observe=append_to_log, also=tuple(topic.name for topic in TOPICS)
)
WAITING = {"analytics.privacy": PENDING_PARTS}
