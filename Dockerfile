# One casdav server. Build and run: docker compose up

FROM python:3.13-slim AS build
WORKDIR /source
COPY pyproject.toml README.md LICENSE ./
COPY cas cas
COPY dav dav
COPY syncd syncd
COPY tools tools
RUN python -m venv /opt/casdav && /opt/casdav/bin/pip install --no-cache-dir .

FROM python:3.13-slim
# A fixed number, so that a volume keeps its owner from one image to the next.
RUN groupadd --system --gid 10001 casdav \
    && useradd --system --uid 10001 --gid 10001 --no-create-home --home-dir /data casdav \
    && install -d -o casdav -g casdav -m 0700 /data
COPY --from=build /opt/casdav /opt/casdav
ENV PATH=/opt/casdav/bin:$PATH \
    PYTHONDONTWRITEBYTECODE=1 \
    PYTHONUNBUFFERED=1 \
    CASDAV_STORE=/data/store
USER 10001:10001
VOLUME /data
EXPOSE 8080
STOPSIGNAL SIGTERM
HEALTHCHECK --interval=30s --timeout=5s --start-period=10s CMD ["python", "-c", "\
import http.client as h, sys; c = h.HTTPConnection('127.0.0.1', 8080, timeout=4); \
c.request('GET', '/health/ready'); sys.exit(c.getresponse().status != 200)"]
ENTRYPOINT ["casdav"]
# --insecure: the container's address is not loopback. Publish the port on loopback only, or put a
# proxy with TLS in front; compose.yaml does the first.
CMD ["serve", "--quickstart", "--host", "0.0.0.0", "--port", "8080", "--insecure"]
