"""What learning consumes; relay and consumer run it through `libs.common.service.serve`."""

from libs.common.bus.received import Subscription
from services.learning.consumers import HANDLERS

SUBSCRIPTION = Subscription("learning", HANDLERS)
