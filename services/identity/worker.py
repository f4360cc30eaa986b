"""What runs beside the routes; relay and consumer run it through `libs.common.serve`."""

from libs.common.inbox import Subscription
from services.identity.consumers import HANDLERS

SUBSCRIPTION = Subscription("identity", HANDLERS)
