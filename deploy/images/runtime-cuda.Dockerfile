# Model servers on NVIDIA's GPUs: ONNX Runtime's build for them, with the CUDA and cuDNN that it declares (some 4 GB).
#     docker build -f deploy/images/runtime-cuda.Dockerfile -t YOUR_REGISTRY/sluice-runtime-cuda:0.1.0 .
ARG NODE=22-bookworm-slim
# the base has no CUDA libraries of weight: they come with ONNX Runtime, in the versions that it was built with
ARG CUDA=13.0.1-base-ubuntu24.04

FROM node:${NODE} AS build
# pip, which downloads the libraries
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-pip python3-venv \
 && rm -rf /var/lib/apt/lists/*
WORKDIR /src
COPY package.json package-lock.json ./
RUN npm ci --ignore-scripts
COPY . .
RUN npm run build && node scripts/images/app-folder.mjs runtime /app
# model servers look beside the package's own library: it makes room for this one
RUN SLUICE_CACHE_DIR=/cache node dist/sluice.js engines install onnx --cuda \
 && library=$(echo /app/node_modules/onnxruntime-node/bin/*/linux/x64) \
 && rm "$library"/* && mv /cache/engines/onnx-*-cuda/onnxruntime/capi/* "$library/" \
 && mv /cache/engines/onnx-*-cuda/nvidia "$library/../../nvidia" && rm -rf /cache

FROM nvidia/cuda:${CUDA}
RUN apt-get update && apt-get install -y --no-install-recommends python3 python3-venv \
 && rm -rf /var/lib/apt/lists/* \
 && printf 'sluice:x:65532:65532:sluice:/tmp:/sbin/nologin\n' >>/etc/passwd \
 && printf 'sluice:x:65532:\n' >>/etc/group
COPY --from=build /usr/local/bin/node /usr/local/bin/node
COPY --from=build /app /app
ENV HOME=/tmp NODE_ENV=production LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1 \
    NVIDIA_VISIBLE_DEVICES=all NVIDIA_DRIVER_CAPABILITIES=compute,utility
WORKDIR /app
USER 65532:65532
EXPOSE 8080
ENTRYPOINT ["node"]
CMD ["/app/dist/pod.js"]
