# One image for web, workers and scheduler; compose.yaml says who runs what.
FROM python:3.13.14-slim-trixie AS build

ENV PATH=/venv/bin:$PATH SYNCLOG_STATIC_DIR=/app/static
WORKDIR /app

COPY requirements.txt .
RUN python -m venv --without-pip /venv \
    && pip --python /venv/bin/python install --no-cache-dir --require-hashes --requirement requirements.txt

COPY manage.py ./
COPY config config
COPY apps apps
COPY templates templates
RUN SYNCLOG_DATA_DIR=/tmp/data python manage.py collectstatic --no-input --verbosity=0 \
    && python -m compileall -q config apps

FROM python:3.13.14-slim-trixie

ENV PATH=/venv/bin:$PATH PYTHONDONTWRITEBYTECODE=1 PYTHONUNBUFFERED=1 \
    SYNCLOG_DATA_DIR=/data SYNCLOG_STATIC_DIR=/app/static TMPDIR=/data/tmp
RUN useradd --uid 10001 synclog && install --directory --owner=synclog /data /data/tmp
COPY --from=build /venv /venv
COPY --from=build /app /app

WORKDIR /app
USER synclog
VOLUME /data
EXPOSE 8000

HEALTHCHECK --interval=15s --timeout=10s --start-period=60s \
    CMD ["python", "-c", "from urllib.request import urlopen; urlopen('http://127.0.0.1:8000/livez')"]
CMD ["gunicorn", "config.wsgi", "--bind=0.0.0.0:8000", "--preload", "--workers=4", "--threads=8", \
     "--worker-tmp-dir=/dev/shm", "--no-control-socket", "--access-logfile=-"]
