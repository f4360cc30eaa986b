"""What notify refuses, by name: nothing beyond what all services share."""
