"""What runs beside the routes; relay and consumer run it through `libs.common.service.serve`."""

from libs.common.bus.received import Subscription
from services.identity.consumers import HANDLERS
from services.identity.queries import publish_state

SUBSCRIPTION = Subscription("identity", HANDLERS)
RESTATE = publish_state
