"""Analytics refuses nothing by a name of its own: what all services share says enough."""
