"""What runs beside the routes; relay and consumer run it through `libs.common.service.serve`."""

from libs.common.bus.received import Subscription
from services.identity.consumers import HANDLERS

SUBSCRIPTION = Subscription("identity", HANDLERS)
