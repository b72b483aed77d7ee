#!/bin/sh
# Postgres in a container: makes its data at the first start, whole or not at all, and then becomes the server.
#   POSTGRES_PASSWORD   needed at the first start
#   POSTGRES_USER, POSTGRES_DB   sluice
#   PGDATA              /data/postgres: its parent must be writable
set -eu
user=${POSTGRES_USER:-sluice} database=${POSTGRES_DB:-sluice} data=${PGDATA:-/data/postgres}
bin=/usr/local/pgsql/bin
if [ ! -s "$data/PG_VERSION" ]; then
  : "${POSTGRES_PASSWORD:?must be set to make the database}"
  umask 077
  printf '%s\n' "$POSTGRES_PASSWORD" >/tmp/password
  draft=$data.new
  # of a start that was cut short
  rm -rf "$draft"
  "$bin/initdb" --pgdata="$draft" --username="$user" --pwfile=/tmp/password --auth=scram-sha-256 --encoding=UTF8 \
    --locale=C --locale-provider=builtin --builtin-locale=C.UTF-8 --no-instructions
  rm /tmp/password
  printf 'host all all all scram-sha-256\n' >>"$draft/pg_hba.conf"
  printf 'CREATE DATABASE "%s";\n' "$database" | "$bin/postgres" --single -D "$draft" postgres >/dev/null
  mv "$draft" "$data"
fi
exec "$bin/postgres" -D "$data" -c listen_addresses='*' -c unix_socket_directories= -c jit=off -c io_method=sync \
  -c max_parallel_workers_per_gather=0 -c timezone=UTC -c log_timezone=UTC -c max_connections="${POSTGRES_CONNECTIONS:-100}" \
  -c shared_buffers="${POSTGRES_SHARED_BUFFERS:-64MB}"
