# PostgreSQL and Valkey of Debian behind the entry points of the official images postgres and valkey/valkey.
FROM lectern-stand-in/forky
ENV PATH=/usr/lib/postgresql/18/bin:$PATH LANG=C.UTF-8 PGDATA=/var/lib/postgresql/18/docker
COPY store.sh /usr/local/bin/docker-entrypoint.sh
RUN chmod 755 /usr/local/bin/docker-entrypoint.sh && mkdir -p /data && chown 999:999 /data \
    && chown -R postgres:postgres /var/lib/postgresql && install -d -o postgres /run/postgresql
WORKDIR /data
STOPSIGNAL SIGINT
ENTRYPOINT ["docker-entrypoint.sh"]
CMD ["postgres"]
