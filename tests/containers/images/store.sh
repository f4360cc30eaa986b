#!/bin/bash
# What the entry points of postgres and valkey/valkey do, as far as docker-compose.yml uses them.
set -euo pipefail
if [ "$1" = valkey-server ]; then
    exec "$@"
fi
if [ "$(id -u)" = 0 ]; then
    POSTGRES_PASSWORD=${POSTGRES_PASSWORD:-$(cat "$POSTGRES_PASSWORD_FILE")}
    export POSTGRES_PASSWORD
    mkdir -p "$PGDATA"
    chown -R postgres:postgres /var/lib/postgresql
    exec setpriv --reuid=postgres --regid=postgres --clear-groups "$0" "$@"
fi
if [ ! -s "$PGDATA/PG_VERSION" ]; then
    # shellcheck disable=SC2086
    initdb --username=postgres --pwfile=<(echo "$POSTGRES_PASSWORD") --auth-local=trust ${POSTGRES_INITDB_ARGS:-} \
        --auth-host=scram-sha-256 -D "$PGDATA"
    echo "host all all all scram-sha-256" >> "$PGDATA/pg_hba.conf"
    echo "listen_addresses = '*'" >> "$PGDATA/postgresql.conf"
fi
unset POSTGRES_PASSWORD
exec "$@"
