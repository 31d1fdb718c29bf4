# docker build -t metaicl . && docker run --rm -p 127.0.0.1:8080:8080 -e METAICL_TOKENS=... metaicl
# --build-arg PIP_EXTRA_INDEX_URL=... names an index of PyTorch's CPU builds (docs/installation.md): the image is then some gigabytes smaller.
FROM python:3.12-slim
RUN useradd --create-home --uid 10001 metaicl && mkdir /data /models && chown metaicl /data /models
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY metaicl metaicl
COPY task_suites task_suites
COPY eval eval
# pip reads it from the environment of this step only.
ARG PIP_EXTRA_INDEX_URL
# hadolint ignore=DL3013
RUN pip install --no-cache-dir ".[serve]"
USER 10001
ENV METAICL_CACHE=/models HF_HOME=/models/hub
WORKDIR /data
VOLUME ["/data", "/models"]
EXPOSE 8080
ENTRYPOINT ["metaicl"]
CMD ["serve", "--host", "0.0.0.0"]
