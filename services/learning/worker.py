"""What learning consumes; relay and consumer run it through `libs.common.serve`."""

from libs.common.inbox import Subscription
from services.learning.consumers import HANDLERS

SUBSCRIPTION = Subscription("learning", HANDLERS)
