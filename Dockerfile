# The image: Python, the locked dependencies, apiproxy, and nothing that can fetch or build.
#
#   docker build -t apiproxy .
#   docker run --read-only --cap-drop=ALL -e HTTPS_PROXY=http://squid:3128 \
#       -e OPENAI_API_KEY_FILE=/run/secrets/openai -v ./openai:/run/secrets/openai:ro apiproxy
#
# What is put after the image's name are options of the service, such as "--config FILE".

ARG PYTHON_IMAGE=python:3.13.14-slim-bookworm

FROM ${PYTHON_IMAGE} AS build
ENV PIP_NO_CACHE_DIR=1 PIP_DISABLE_PIP_VERSION_CHECK=1 PIP_ROOT_USER_ACTION=ignore
WORKDIR /src
RUN python -m venv /opt/apiproxy && python -m venv /opt/build
# Wheels only: a source distribution would run its own code here, hash or no hash.
COPY requirements.lock requirements-build.lock ./
RUN /opt/apiproxy/bin/pip install --only-binary=:all: --require-hashes -r requirements.lock \
 && /opt/build/bin/pip install --only-binary=:all: --require-hashes -r requirements-build.lock
COPY setup.cfg pyproject.toml README.md LICENSE ./
COPY apiproxy apiproxy
COPY twisted twisted
RUN /opt/build/bin/pip wheel --no-deps --no-index --no-build-isolation --wheel-dir /wheels . \
 && /opt/apiproxy/bin/pip install --no-deps --no-index /wheels/*.whl \
 && /opt/apiproxy/bin/pip check \
 && /opt/apiproxy/bin/pip uninstall --yes pip

FROM ${PYTHON_IMAGE}
RUN groupadd --system --gid 10001 apiproxy \
 && useradd --system --uid 10001 --gid apiproxy --no-create-home --home-dir / --shell /usr/sbin/nologin apiproxy
COPY --from=build /opt/apiproxy /opt/apiproxy
# twistd keeps a cache beside the plugins it finds. Made now, by root, because the service's user
# may not write there and would search, and complain, at every start.
RUN /opt/apiproxy/bin/python -I /opt/apiproxy/bin/twistd --help | grep -q apiproxy \
 && test -s /opt/apiproxy/lib/python3.*/site-packages/twisted/plugins/dropin.cache
# The network of a container is its own, so every address of it is the agents' side.
ENV PATH=/opt/apiproxy/bin:$PATH APIPROXY_BIND=0.0.0.0
WORKDIR /
USER 10001:10001
EXPOSE 10000-10005
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=10s --timeout=5s --start-period=15s --retries=3 \
    CMD ["/opt/apiproxy/bin/python", "-I", "/opt/apiproxy/bin/apiproxy", "health"]
# -I: no variable and no file of the working directory decides what Python imports.
ENTRYPOINT ["/opt/apiproxy/bin/python", "-I", "/opt/apiproxy/bin/twistd", "-n", "--pidfile=", "apiproxy"]
