FROM python:3.14-slim AS build
WORKDIR /build
RUN python -m venv /opt/pets
COPY requirements.txt requirements-otel.txt ./
# EXTRA=otel adds what traces need.
ARG EXTRA=
RUN /opt/pets/bin/pip install --no-cache-dir --require-hashes \
    --requirement requirements${EXTRA:+-$EXTRA}.txt
COPY pyproject.toml README.md LICENSE ./
COPY src ./src
RUN /opt/pets/bin/pip install --no-cache-dir --no-deps . \
    && /opt/pets/bin/pip uninstall --yes pip

FROM python:3.14-slim
RUN useradd --system --uid 10001 --create-home --home-dir /data pets
COPY --from=build /opt/pets /opt/pets
# Without PETS_DATABASE_URL the pets are in /data/pets.db.
WORKDIR /data
USER 10001
ENV PATH="/opt/pets/bin:$PATH" PETS_HOST=0.0.0.0 PETS_PORT=3000
EXPOSE 3000
HEALTHCHECK --interval=10s --timeout=3s --start-period=60s \
    CMD ["python", "-c", "import http.client as h; from pets.settings import Settings as s; c = h.HTTPConnection('127.0.0.1', s.from_environment().port, timeout=2); c.request('GET', '/health/ready'); exit(c.getresponse().status != 200)"]
CMD ["pets", "serve"]
