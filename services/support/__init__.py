"""Tickets to the support staff: routed, answered, resolved, rated."""
