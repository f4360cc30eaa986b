"""What runs beside the routes: the relay alone, for identity subscribes to nothing."""

from libs.common.inbox import Subscription

SUBSCRIPTION: Subscription | None = None
