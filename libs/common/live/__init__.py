"""WebSockets: tickets, sockets with numbered frames, rooms over all replicas."""
