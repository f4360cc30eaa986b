"""What runs beside the routes: the relay, and the consumers of users and enrolments."""

from libs.common.bus.received import Subscription
from services.catalog.consumers import HANDLERS

SUBSCRIPTION = Subscription("catalog", HANDLERS)
