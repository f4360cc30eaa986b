"""What runs beside the routes."""

from libs.common.inbox import Subscription
from services.support.consumers import HANDLERS

SUBSCRIPTION = Subscription("support", HANDLERS)
