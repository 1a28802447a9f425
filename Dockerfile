# The stage "cpu" has the versions of requirements-lock.txt; "gpu" adds the CUDA build of JAX.
#   docker build --target cpu --tag pneumojax .
#   docker build --target gpu --tag pneumojax:gpu .
FROM python:3.13-slim AS cpu

# The requirements change less often than the code, so their layer is reused.
COPY requirements-lock.txt /src/
RUN pip install --no-cache-dir --require-hashes -r /src/requirements-lock.txt

COPY . /src/
RUN pip install --no-cache-dir --no-deps /src

# Any user may run the image, also one without an entry in /etc/passwd, as with `--user "$(id -u)"`.
ENV HOME=/tmp/home XDG_CACHE_HOME=/tmp/home/.cache
RUN mkdir --parents /tmp/home/.cache /work && chmod 1777 /tmp/home /tmp/home/.cache /work
USER 65534
WORKDIR /work
ENTRYPOINT ["pneumojax"]
CMD ["--help"]

FROM cpu AS gpu

USER root
RUN pip install --no-cache-dir --requirement /src/requirements-gpu.txt
USER 65534

# Without --target the build ends with the smaller image.
FROM cpu
