# Three images: --target gateway, tokenizer or engine. docs/deployment.md tells the arguments.
# Nothing here needs BuildKit. Builders without it run every stage above the wanted one, so the
# engine's, the only one with torch, are last.

ARG BASE_IMAGE=python:3.12-slim-bookworm

# Read apart: of all that pyproject.toml tells, only this makes packages be installed again.
FROM ${BASE_IMAGE} AS requirements
WORKDIR /build
COPY pyproject.toml tools/requirements_of.py ./
RUN for extra in gateway tokenizer engine; do \
    python3 requirements_of.py "${extra}" < pyproject.toml > "${extra}.txt" || exit 1; done

FROM ${BASE_IMAGE} AS builder
ARG PIP_INDEX_URL=
ARG PIP_EXTRA_INDEX_URL=
ARG PIP_TRUSTED_HOST=
ARG PIP_NO_INDEX=
# pip reads them by these names, and passes over empty ones. They stay in the stages that install,
# and so out of every image.
ENV PIP_INDEX_URL=${PIP_INDEX_URL} \
    PIP_EXTRA_INDEX_URL=${PIP_EXTRA_INDEX_URL} \
    PIP_TRUSTED_HOST=${PIP_TRUSTED_HOST} \
    PIP_NO_INDEX=${PIP_NO_INDEX} \
    PIP_CONSTRAINT=/build/constraints.txt \
    PIP_DISABLE_PIP_VERSION_CHECK=1 \
    PIP_FIND_LINKS=/wheelhouse \
    PIP_NO_CACHE_DIR=1 \
    PIP_ROOT_USER_ACTION=ignore
WORKDIR /build
COPY deploy/wheelhouse/ /wheelhouse/
COPY constraints.txt ./

FROM builder AS wheel
COPY LICENSE README.md pyproject.toml ./
COPY protos/ protos/
COPY engine_svc/ engine_svc/
COPY gateway/ gateway/
COPY steeple_cli/ steeple_cli/
COPY steeple_client/ steeple_client/
COPY steeple_demo/ steeple_demo/
COPY steeple_rpc/ steeple_rpc/
COPY tokenizer_svc/ tokenizer_svc/
RUN python3 -m pip wheel --no-deps --wheel-dir /wheel .

FROM builder AS gateway-packages
COPY --from=requirements /build/gateway.txt ./
RUN python3 -m venv --without-pip /opt/steeple \
    && python3 -m pip --python /opt/steeple/bin/python install --requirement gateway.txt
COPY --from=wheel /wheel/ /wheel/
RUN python3 -m pip --python /opt/steeple/bin/python install --no-deps --no-index /wheel/*.whl

FROM builder AS tokenizer-packages
COPY --from=requirements /build/tokenizer.txt ./
RUN python3 -m venv --without-pip /opt/steeple \
    && python3 -m pip --python /opt/steeple/bin/python install --requirement tokenizer.txt
COPY --from=wheel /wheel/ /wheel/
RUN python3 -m pip --python /opt/steeple/bin/python install --no-deps --no-index /wheel/*.whl

FROM ${BASE_IMAGE} AS runtime
# Nobody of the host, and no name in the image: libraries that ask for one are told.
ENV HOME=/tmp \
    HF_HUB_OFFLINE=1 \
    PATH=/opt/steeple/bin:${PATH} \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    USER=steeple
WORKDIR /tmp
USER 10001:10001

FROM runtime AS gateway
COPY --from=gateway-packages /opt/steeple/ /opt/steeple/
EXPOSE 50051
ENTRYPOINT ["python", "-m", "gateway"]

FROM runtime AS tokenizer
COPY --from=tokenizer-packages /opt/steeple/ /opt/steeple/
EXPOSE 50052
ENTRYPOINT ["python", "-m", "tokenizer_svc"]

FROM builder AS engine-packages
COPY --from=requirements /build/engine.txt ./
# An index of CPU builds of torch; empty = the other indexes alone.
ARG TORCH_INDEX_URL=
# "yes": the base image's own torch computes, as the images of Spyre cards need it.
ARG SYSTEM_TORCH=
RUN if [ -n "${SYSTEM_TORCH}" ]; then sed -i '/^torch==/d' constraints.txt; fi \
    && python3 -m venv --without-pip ${SYSTEM_TORCH:+--system-site-packages} /opt/steeple \
    && python3 -m pip --python /opt/steeple/bin/python install --requirement engine.txt \
        ${TORCH_INDEX_URL:+--extra-index-url "${TORCH_INDEX_URL}"}
COPY --from=wheel /wheel/ /wheel/
RUN python3 -m pip --python /opt/steeple/bin/python install --no-deps --no-index /wheel/*.whl

FROM runtime AS engine
COPY --from=engine-packages /opt/steeple/ /opt/steeple/
EXPOSE 50053
ENTRYPOINT ["python", "-m", "engine_svc"]
