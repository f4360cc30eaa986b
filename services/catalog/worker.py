"""What catalog subscribes to."""

from libs.common.bus.received import Subscription
from services.catalog.consumers import HANDLERS

SUBSCRIPTION = Subscription("catalog", HANDLERS)
