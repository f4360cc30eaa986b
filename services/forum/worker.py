"""What runs beside the routes."""

from libs.common.bus.received import Subscription
from services.forum.consumers import HANDLERS

SUBSCRIPTION = Subscription("forum", HANDLERS)
