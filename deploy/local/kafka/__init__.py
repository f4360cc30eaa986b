"""Apache Kafka from its jars: one broker, users, rights."""
