"""Discussions live, by WebSocket: messages, who is there, who types."""
