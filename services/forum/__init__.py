"""Forums, discussions, replies, moderation and chat."""
