# Gateway, worker and command line.
#     docker build -f deploy/images/sluice.Dockerfile -t YOUR_REGISTRY/sluice:0.1.0 .
ARG NODE=22-bookworm-slim
ARG PYTHON=3.12-slim-bookworm

FROM node:${NODE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && node scripts/images/app-folder.mjs sluice /app

# workers look at Python models before they let them go live
FROM python:${PYTHON}
RUN printf 'sluice:x:65532:65532:sluice:/tmp:/sbin/nologin\n' >>/etc/passwd \
 && printf 'sluice:x:65532:\n' >>/etc/group
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /app /app
ENV HOME=/tmp NODE_ENV=production LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    SLUICE_HOST=0.0.0.0 SLUICE_DATA_DIR=/tmp/sluice SLUICE_CACHE_DIR=/tmp/cache
WORKDIR /app
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["node"]
CMD ["/app/dist/gateway.js"]
