"""What runs beside the routes."""

from libs.common.inbox import Subscription
from services.forum.consumers import HANDLERS

SUBSCRIPTION = Subscription("forum", HANDLERS)
