"""Tasks of support."""

from libs.common.data.jobs import Tasks
from services.support.privacy import PRIVACY
from services.support.settings import Settings

TASKS = Tasks("support", Settings)
PRIVACY.declare(TASKS)
