"""Notifications, live and by mail; tickets for sockets."""
