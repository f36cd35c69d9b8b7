# syntax=docker/dockerfile:1
# One service, one process family, one data volume. It writes to /data and /tmp only, so the rest may be read-only
# (deploy/compose.yaml). Build and run:
#   docker build -t embedd .                          (CPU; --build-arg TORCH=cuda for NVIDIA GPUs)
#   docker run --rm -v embedd-data:/data embedd keys create --scope admin "the administrator"
#   docker run -p 8080:8080 -v embedd-data:/data embedd

ARG PYTHON=3.11-slim-bookworm

FROM python:${PYTHON} AS build
ARG TORCH=cpu
ARG TORCH_CPU_INDEX=https://download.pytorch.org/whl/cpu
ENV PIP_NO_CACHE_DIR=1 \
    PIP_DISABLE_PIP_VERSION_CHECK=1
# hadolint ignore=DL3008 # security fixes come with the base image and with these; a pin would keep them out
RUN apt-get update \
    && apt-get install -y --no-install-recommends g++ \
    && rm -rf /var/lib/apt/lists/*
WORKDIR /src
RUN python -m venv /opt/embedd
ENV PATH=/opt/embedd/bin:$PATH
COPY constraints.txt ./
COPY deploy/install_torch.py deploy/
# In layers of their own, biggest and steadiest first: a change of code downloads nothing again.
RUN python -m pip install --constraint constraints.txt pip \
    && python deploy/install_torch.py --variant "${TORCH}" --constraints constraints.txt \
        --cpu-index "${TORCH_CPU_INDEX}"
COPY deploy/hnswlib_headers.py deploy/
RUN python deploy/hnswlib_headers.py --constraints constraints.txt
COPY pyproject.toml README.md LICENSE ./
COPY embedd embedd
COPY index index
COPY api api
RUN python -m pip install --constraint constraints.txt --build-constraint constraints.txt '.[jwt,milvus,otel,postgres,redis,s3]'

FROM python:${PYTHON}
# What is compiled here is linked against the latter, torch against both.
# hadolint ignore=DL3008
RUN apt-get update \
    && apt-get install -y --no-install-recommends libgomp1 libstdc++6 \
    && rm -rf /var/lib/apt/lists/* \
    && useradd --uid 10001 --user-group --home-dir /data --no-create-home embedd \
    && install -d -o embedd -g embedd /data
COPY --from=build /opt/embedd /opt/embedd
ENV PATH=/opt/embedd/bin:$PATH \
    PYTHONUNBUFFERED=1 \
    HF_HOME=/data/huggingface \
    EMBEDD_HOST=0.0.0.0 \
    EMBEDD_PORT=8080 \
    EMBEDD_DATA=/data
USER 10001:10001
WORKDIR /data
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
# Alive, not ready: a restart does not help a model that is still loading. /readyz is for whoever sends traffic.
# It reads the settings as the service does: port, configuration file, certificates.
HEALTHCHECK --interval=15s --timeout=5s --start-period=20s --retries=3 CMD ["embedd", "health"]
ENTRYPOINT ["embedd"]
CMD ["serve"]
