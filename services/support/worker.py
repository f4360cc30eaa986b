"""What runs beside the routes."""

from libs.common.bus.received import Subscription
from services.support.consumers import HANDLERS

SUBSCRIPTION = Subscription("support", HANDLERS)
