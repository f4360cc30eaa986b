"""What learning consumes, and the states that it tells; relay and consumer run it through
`libs.common.service.serve`."""

from libs.common.bus.received import Subscription
from services.learning.consumers import HANDLERS
from services.learning.enrollments.state import publish_state

SUBSCRIPTION = Subscription("learning", HANDLERS)
RESTATE = publish_state
