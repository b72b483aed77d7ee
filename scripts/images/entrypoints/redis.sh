#!/bin/sh
# Redis in a container. The password is read from the configuration's stream, so that no list of processes shows it.
#   REDIS_PASSWORD   needed
#   REDIS_DIR        /data: must be writable
set -eu
: "${REDIS_PASSWORD:?must be set}"
exec redis-server - <<END
bind * -::*
port 6379
dir ${REDIS_DIR:-/data}
appendonly yes
save ""
maxmemory ${REDIS_MAXMEMORY:-200mb}
maxmemory-policy noeviction
requirepass "$REDIS_PASSWORD"
END
