# Prometheus and Alertmanager of Debian behind the entry points of prom/prometheus and prom/alertmanager.
FROM lectern-stand-in/forky
COPY observer.sh /usr/local/bin/observer
RUN apt-get update -qq && apt-get install -qq -y --no-install-recommends busybox prometheus prometheus-alertmanager \
    && rm -rf /var/lib/apt/lists/* && ln -s /bin/busybox /usr/bin/wget && chmod 755 /usr/local/bin/observer \
    && rm -rf /etc/prometheus && mkdir -p /etc/prometheus /etc/alertmanager && install -d -o 65534 -g 65534 /prometheus /alertmanager
USER 65534
ENTRYPOINT ["observer"]
