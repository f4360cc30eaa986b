"""What runs beside the routes."""

from libs.common.bus.received import Subscription
from services.notify.consumers import HANDLERS

SUBSCRIPTION = Subscription("notify", HANDLERS)
