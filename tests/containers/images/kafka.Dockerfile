# Kafka's own jars behind what the official image apache/kafka does at its start: the wrapper in the jars makes
# server.properties from the environment and /mnt/shared/config, and formats the storage.
FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends openjdk-21-jre-headless && rm -rf /var/lib/apt/lists/*
COPY libs/ /opt/kafka/libs/
COPY kafka.sh /etc/kafka/docker/run
RUN useradd --uid 1000 appuser && mkdir -p /opt/kafka/config /etc/kafka/docker /var/lib/kafka/data /mnt/shared/config \
    && touch /etc/kafka/docker/server.properties /etc/kafka/docker/log4j2.yaml /etc/kafka/docker/tools-log4j2.yaml \
    && chmod 755 /etc/kafka/docker/run && chown -R appuser /opt/kafka /etc/kafka /var/lib/kafka
USER 1000
VOLUME /var/lib/kafka/data
CMD ["/etc/kafka/docker/run"]
