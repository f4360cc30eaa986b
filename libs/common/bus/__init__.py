"""Events between services: from the outbox to Kafka, and from Kafka into each service once."""
