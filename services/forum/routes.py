"""Every router of the service, in the order in which they match."""

from services.forum.chat.routes import router as chat
from services.forum.discussions.routes import forums
from services.forum.discussions.routes import router as discussions
from services.forum.moderation.routes import router as moderation
from services.forum.replies.routes import router as replies

ROUTERS = (forums, discussions, replies, moderation, chat)
