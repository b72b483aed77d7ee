# Training jobs: Python with your packages. Jobs may name images of their own; all that those need is python3.
#     docker build -f deploy/images/job.Dockerfile -t YOUR_REGISTRY/sluice-job:0.1.0 FOLDER_WITH_REQUIREMENTS_TXT
ARG PYTHON=3.12-slim-bookworm

FROM python:${PYTHON} AS packages
COPY requirements.txt /requirements.txt
RUN pip install --no-cache-dir --prefix /packages -r /requirements.txt

FROM python:${PYTHON}
RUN printf 'sluice:x:65532:65532:sluice:/tmp:/sbin/nologin\n' >>/etc/passwd \
 && printf 'sluice:x:65532:\n' >>/etc/group
COPY --from=packages /packages /usr/local
ENV HOME=/tmp LANG=C.UTF-8 PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
WORKDIR /app
USER 65532:65532
CMD ["python3"]
