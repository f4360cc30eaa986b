# Stands in for python:3.13-slim where no registry is reached: Debian's own Python, at the same place, and the
# authorities that the machine trusts.
FROM debian:trixie-slim
COPY authorities/ /usr/local/share/ca-certificates/
RUN update-ca-certificates && ln -s /usr/bin/python3 /usr/local/bin/python && ln -s /usr/bin/python3 /usr/local/bin/python3
ENV SSL_CERT_FILE=/etc/ssl/certs/ca-certificates.crt PIP_CERT=/etc/ssl/certs/ca-certificates.crt
CMD ["python3"]
