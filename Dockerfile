FROM python:3.12-slim AS build
ENV PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_NO_CACHE_DIR=1 PIP_ROOT_USER_ACTION=ignore
RUN python -m venv /opt/stream
WORKDIR /build
COPY pyproject.toml constraints.txt README.md LICENSE ./
# An empty package first: the layer with the dependencies lasts until they change.
RUN mkdir stream && touch stream/__init__.py \
    && /opt/stream/bin/pip install --constraint constraints.txt .
COPY stream stream
RUN /opt/stream/bin/pip install --no-deps --force-reinstall .

FROM python:3.12-slim
COPY --from=build /opt/stream /opt/stream
ENV PATH=/opt/stream/bin:$PATH PYTHONUNBUFFERED=1 PYTHONDONTWRITEBYTECODE=1
# A number, so that Kubernetes can see that it is not root.
USER 10001:10001
# The one place that is written to (Faust makes its directory here, though nothing is kept in it):
# mount a tmpfs on it when the root file system is read-only.
WORKDIR /tmp
EXPOSE 8090
ENTRYPOINT ["stream"]
CMD ["worker"]
