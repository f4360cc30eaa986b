"""The one door of the suite: routes, authenticates and proxies HTTP and WebSocket."""
