# Model servers, on processors.
#     docker build -f deploy/images/runtime.Dockerfile -t YOUR_REGISTRY/sluice-runtime:0.1.0 .
# Packages for Python models: --build-arg REQUIREMENTS="scikit-learn==1.7.2 xgboost==3.0.5"
ARG NODE=22-bookworm-slim
ARG PYTHON=3.12-slim-bookworm

FROM node:${NODE} AS build
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && node scripts/images/app-folder.mjs runtime /app

FROM python:${PYTHON}
ARG REQUIREMENTS=""
RUN printf 'sluice:x:65532:65532:sluice:/tmp:/sbin/nologin\n' >>/etc/passwd \
 && printf 'sluice:x:65532:\n' >>/etc/group \
 && if [ -n "$REQUIREMENTS" ]; then echo "$REQUIREMENTS" | xargs pip install --no-cache-dir; fi
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /app /app
ENV HOME=/tmp NODE_ENV=production LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["node"]
CMD ["/app/dist/pod.js"]
