#!/bin/bash
# As etc/kafka/docker/run and launch of the official image.
set -euo pipefail
# It formats the storage of a first start, and says of a later one that this is done, as an error.
said=$(java -Xmx128m -XX:TieredStopAtLevel=1 -cp '/opt/kafka/libs/*' kafka.docker.KafkaDockerWrapper setup \
    --default-configs-dir /etc/kafka/docker --mounted-configs-dir /mnt/shared/config --final-configs-dir /opt/kafka/config 2>&1) \
    || grep -qi 'already formatted' <<< "$said" || { echo "$said"; exit 1; }
# shellcheck disable=SC2086
exec java ${KAFKA_HEAP_OPTS:--Xmx256m} -XX:TieredStopAtLevel=1 -XX:+UseSerialGC -cp '/opt/kafka/libs/*' kafka.Kafka \
    /opt/kafka/config/server.properties
