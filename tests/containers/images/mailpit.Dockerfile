# Mailpit built from its Go module.
FROM debian:trixie-slim
COPY --chmod=755 program /mailpit
RUN mkdir /data
ENTRYPOINT ["/mailpit"]
