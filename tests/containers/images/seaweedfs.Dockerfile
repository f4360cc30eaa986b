# SeaweedFS built from its Go module, with what its official image has of busybox.
FROM debian:trixie-slim
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends busybox && rm -rf /var/lib/apt/lists/* \
    && ln -s /bin/busybox /usr/bin/wget && mkdir /data
COPY --chmod=755 program /usr/bin/weed
ENTRYPOINT ["/usr/bin/weed"]
